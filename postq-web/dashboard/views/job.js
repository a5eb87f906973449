import { get, post } from "../api.js";
import { html } from "../dom.js";
import { Icon } from "../icons.js";
import { Attached } from "../media.js";
import { link } from "../route.js";
import { may } from "../session.js";
import { long } from "../time.js";
import { Act, Block, Head, Loaded, State, When, gist, platformName, useLoaded } from "../ui.js";

async function load(id) {
  const story = await get(`/jobs/${id}`);
  const [account, of, out] = await Promise.all([
    story.job.account_id ? get(`/accounts/${story.job.account_id}`).catch(() => undefined) : undefined,
    story.job.post_id ? get(`/posts/${story.job.post_id}`).catch(() => undefined) : undefined,
    story.job.standing === "succeeded" ? get("/publications", { job: id }).then((list) => list.items[0], () => undefined) : undefined,
  ]);
  return { ...story, account, post: of, publication: out };
}

/** What to do about a job that stands as it does. */
const NEXT = {
  dead_letter: "Mend what it says, then replay it. If it does not matter any more, discard it.",
  held: "Look at the platform. If it is there, mark it as published; if not, send it again.",
  failed: "Nothing: postq tries again by itself. “Due now” makes it sooner.",
  running: "Nothing: it is on its way.",
  enqueued: "Nothing: it goes out at its time.",
  planned: "Nothing: it goes out at its time.",
};

/** What is known of a part, in words. */
const KNOWN = { open: "sent; not known yet whether it is out", published: "out", not_published: "surely not out", absent: "looked for, and not there" };

const TWICE = { title: "Send again?", text: "If it is out already, it will be out twice.", yes: "Send again" };
const DISCARD = { title: "Discard it?", text: "It is not sent. Its history stays.", yes: "Discard" };

export function Job({ id }) {
  const loaded = useLoaded(() => load(id), [id]);
  return html`<${Loaded} of=${loaded}>${(story) => html`<${Story} ...${story} again=${loaded.again} />`}<//>`;
}

function Story({ job, events, evidence, account, post: of, publication, again }) {
  const how = job.standing;
  const waits = ["planned", "enqueued", "failed"].includes(job.state);
  const isOpen = job.state === "dead_letter" && !job.resolution;
  // What ends by itself asks for nobody.
  const holds = waits && account?.blocks.find((block) => !block.until);
  return html`<${Head} title=${of ? gist(of.parts, 60) : `A job of kind ${job.kind}`}><${State} of=${how} />${publication && html`<a class="btn" ...${link(`/publications/${publication.id}`)}>How it does</a>`}<//>
    <div class="stack wide">
      ${NEXT[how] && html`<div class=${`note ${isOpen ? "warn" : ""}`}><div class="stack">
        ${holds
          ? html`<p><strong>Its account is held back:</strong> <${Block} of=${holds} /> <a ...${link(`/accounts/${account.id}`)}>See ${account.name}</a>. It goes out when that is over.</p>`
          : html`<p><strong>What to do:</strong> ${NEXT[how]}</p>`}
        ${isOpen && job.reason && html`<p>${job.reason}</p>`}
        ${may("write") && (waits || isOpen) && html`<${Acts} job=${job} how=${how} waits=${waits} again=${again} />`}
      </div></div>`}
      <div class="halves">
        <div class="card stack"><div class="row"><h2 class="grow">${account ? html`To ${account.name} on ${platformName(account.platform)}` : "What it is"}</h2>${of && html`<a ...${link(`/posts/${of.id}`)}>The whole post</a>`}</div>
          ${of && of.parts.map((part) => html`<div class="bubble"><p class="text" dir="auto">${part.text || "(no text)"}</p><${Attached} media=${part.media} /></div>`)}</div>
        <div class="card"><dl class="pairs">
          <dt>Planned for</dt><dd>${long(job.planned_at)}</dd>
          ${waits && html`<dt>Next attempt</dt><dd>${long(job.run_at)} (<${When} at=${job.run_at} />)</dd>`}
          <dt>Attempts</dt><dd>${job.attempt} of ${job.max_attempts}</dd>
          ${job.finished_at && html`<dt>Ended</dt><dd>${long(job.finished_at)}</dd>`}
          <dt>Job</dt><dd class="mono">${job.id}</dd>
          <dt>Correlation id</dt><dd class="mono">${job.correlation_id}</dd>
          ${job.replay_of && html`<dt>Replay of</dt><dd><a class="mono" ...${link(`/jobs/${job.replay_of}`)}>${job.replay_of}</a></dd>`}
        </dl></div>
      </div>
      ${evidence.length > 0 && html`<${Evidence} of=${evidence} />`}
      <div class="card"><h2>Its story</h2><ol class="story">${events.map((event) => html`<${Step} event=${event} />`)}</ol></div>
    </div>`;
}

function Acts({ job, how, waits, again }) {
  const act = (path, body) => async () => {
    await post(path, body);
    again();
  };
  const letter = `/dead-letters/${job.id}`;
  if (waits) {
    return html`<div class="row"><${Act} look="main" done="It is due now" run=${act(`/jobs/${job.id}/retry`)}>Due now<//>
      <${Act} look="bad" done="Called off" run=${act(`/jobs/${job.id}/cancel`)}>Call off<//></div>`;
  }
  const mark = (look) => html`<${Act} look=${look} done="Marked as published" run=${act(`${letter}/resolve`, { resolution: "marked_published" })}>Mark as published<//>`;
  return html`<div class="row">${how === "held"
    ? html`${mark("main")}<${Act} done="It goes out again" sure=${TWICE} run=${act(`${letter}/replay`, { send_again: true })}>Send again<//>`
    : html`<${Act} look="main" done="It goes out again" run=${act(`${letter}/replay`)}>Replay<//>${mark("")}`}
    <${Act} look="bad" done="Discarded" sure=${DISCARD} run=${act(`${letter}/resolve`, { resolution: "discarded" })}>Discard<//></div>`;
}

function Evidence({ of }) {
  return html`<section class="card flush" aria-label="What was sent"><h2 class="pad">What was sent</h2><div class="scroll" tabindex="0" role="group" aria-label="What was sent, part by part"><table class="table">
    <thead><tr><th scope="col">Part</th><th scope="col">Sent last</th><th scope="col">What is known</th><th scope="col" class="num">Looks</th><th scope="col">On the platform</th></tr></thead>
    <tbody>${of.map((part) => html`<tr key=${part.part}><th scope="row">${part.part + 1}</th><td>${part.sent_at ? long(part.sent_at) : "–"}</td><td>${KNOWN[part.state] ?? part.state}</td><td class="num">${part.looks}</td>
      <td>${part.receipt ? html`<${Receipt} of=${part.receipt} />` : "–"}</td></tr>`)}</tbody></table></div></section>`;
}

function Receipt({ of }) {
  if (of.dry_run) return "a dry run: nothing was sent";
  return /^https?:/.test(of.url ?? "") ? html`<a href=${of.url} rel="noreferrer noopener" target="_blank">${of.remote_id} <${Icon} name="out_link" /></a>` : of.remote_id;
}

function Step({ event }) {
  const about = [event.node && `node ${event.node.slice(-6)}`, event.fence > 0 && `claim ${event.fence}`].filter(Boolean).join(" · ");
  return html`<li><div class="row"><${State} of=${event.to} /><time class="small muted" datetime=${event.at}>${long(event.at)}</time><span class="small muted">${about}</span></div>
    ${event.reason && html`<p>${event.reason}</p>`}</li>`;
}
