import { accountsById, get, post as ask } from "../api.js";
import { html, useState } from "../dom.js";
import { Attached } from "../media.js";
import { link } from "../route.js";
import { may } from "../session.js";
import { here, localOf, moment, startAt } from "../time.js";
import { Act, Badge, Dialog, Field, Head, Loaded, PostState, State, Trouble, When, gist, nameOf, nextOf, platformName, sentence, useLoaded } from "../ui.js";

/** The rule as it is asked about, to have it in words. */
function asked(schedule) {
  const rule = schedule.schedule;
  if (rule.kind === "interval") return { kind: "interval", expr: `${rule.anchor}/${rule.every}`, tz: schedule.tz ?? "UTC" };
  return { kind: rule.kind, expr: rule.expr ?? rule.at, tz: schedule.tz ?? "UTC" };
}

async function load(id) {
  const [post, accounts, jobs] = await Promise.all([get(`/posts/${id}`), accountsById(), get("/jobs", { post: id, order: "newest", limit: 50 })]);
  const schedules = await Promise.all(post.schedules.map(async (schedule) => {
    const isOver = ["one_shot", "unset"].includes(schedule.schedule.kind) && !schedule.next_run_at;
    const [times, words] = await Promise.all([
      isOver ? { items: [], skipped: [] } : get(`/schedules/${schedule.id}/occurrences`, { limit: 5 }),
      isOver || schedule.schedule.kind === "one_shot" ? "once" : ask("/preview", { ...asked(schedule), count: 1 }).then((shown) => shown.explanation, () => schedule.schedule.expr ?? ""),
    ]);
    return { ...schedule, times, words };
  }));
  return { post, schedules, jobs: jobs.items, accounts };
}

export function Post({ id }) {
  const loaded = useLoaded(() => load(id), [id]);
  return html`<${Loaded} of=${loaded}>${(value) => html`<${Whole} ...${value} again=${loaded.again} />`}<//>`;
}

let refusals = 0;

/** Publishes it now. Who asks for it in two tabs, or of a page that is behind, means it once: the key says what was seen. */
async function publish(post, schedules, jobs) {
  const next = nextOf(schedules);
  try {
    await ask(`/posts/${post.id}/execute`, {}, { key: `now:${post.id}:${next}:${jobs[0]?.id ?? "first"}:${refusals}` });
  } catch (problem) {
    // A refusal is kept with its key.
    if (!problem.isPassing) refusals += 1;
    throw problem;
  }
}

function Whole({ post, schedules, jobs, accounts, again }) {
  const act = (run) => async () => {
    await run();
    again();
  };
  const isWaiting = nextOf(schedules) !== undefined;
  return html`<${Head} title=${gist(post.parts, 60)}><${PostState} of=${post.state} />
      ${may("write") && html`<a class="btn" ...${link(`/compose?post=${post.id}`)}>Edit</a><a class="btn" ...${link(`/compose?copy=${post.id}`)}>Write another like it</a>
        ${isWaiting && html`<${Act} done="It goes out now" run=${act(() => publish(post, schedules, jobs))}>Publish now<//><${Act} look="bad" done="Called off" run=${act(() => ask(`/posts/${post.id}/cancel`))}>Call off<//>`}`}
    <//>
    <div class="stack wide">
      <section class="card stack" aria-label="Text"><h2>Text</h2><${Texts} parts=${post.parts} />
        ${Object.entries(post.variants).map(([platform, parts]) => html`<h3>On ${platformName(platform)}</h3><${Texts} parts=${parts} />`)}
        ${Object.entries(post.options).map(([platform, values]) => html`<h3>For ${platformName(platform)}</h3><dl class="pairs">${Object.entries(values).map(([name, value]) => html`<dt>${sentence(name.replaceAll("_", " "))}</dt><dd>${String(value)}</dd>`)}</dl>`)}</section>
      ${schedules.filter((one) => one.schedule.kind !== "unset").map((schedule) => html`<${Schedule} key=${schedule.id} schedule=${schedule} accounts=${accounts} act=${act} />`)}
      ${post.state === "draft" && html`<p class="note"><span>It has no time yet. Edit it to give it one.</span></p>`}
      ${jobs.length > 0 && html`<section class="card flush" aria-label="What became of it"><h2 class="pad">What became of it</h2><ul>${jobs.map((job) => html`<li class="line" key=${job.id}>
        <${State} of=${job.standing} /><a class="grow" ...${link(`/jobs/${job.id}`)}>${nameOf(accounts, job.account_id)}</a><span class="small muted">${moment(job.planned_at)}</span></li>`)}</ul></section>`}
    </div>`;
}

function Texts({ parts }) {
  return parts.map((part, n) => html`<div class="bubble">${parts.length > 1 && html`<span class="small muted">${n + 1}/${parts.length}</span>`}<p class="text" dir="auto">${part.text || "(no text)"}</p><${Attached} media=${part.media} /></div>`);
}

function Schedule({ schedule, accounts, act }) {
  const [isAsking, ask_] = useState(false);
  const zone = schedule.tz ?? here;
  const names = schedule.accounts.map((id) => nameOf(accounts, id));
  const isOnce = schedule.schedule.kind === "one_shot";
  const isOver = !schedule.next_run_at && schedule.enabled;
  const can = may("write") && !isOver;
  return html`<section class="card stack" aria-label=${`To ${names.join(", ")}`}>
    <div class="row"><h2 class="grow">To ${names.join(", ")}</h2>${!schedule.enabled ? html`<${Badge} look="warn">switched off<//>` : isOver ? html`<${Badge}>over<//>` : html`<${Badge} look="good">on<//>`}</div>
    ${schedule.problem && html`<p class="note bad"><span>${schedule.problem}</span></p>`}
    <p>${isOnce ? `Once, ${moment(schedule.schedule.at, zone)}` : sentence(schedule.words)}${zone !== here && html` <span class="muted">(${zone})</span>`}</p>
    ${!isOnce && schedule.times.items.length > 0 && html`<ol class="times">${schedule.times.items.map((at) => html`<li key=${at}><span class="row"><time datetime=${at}>${moment(at, zone)}</time>
      ${can && html`<${Act} look="quiet small" label=${`Skip ${moment(at, zone)}`} done="It is left out" run=${act(() => ask(`/schedules/${schedule.id}/skip`, { at }))}>Skip<//>`}</span></li>`)}</ol>`}
    ${schedule.times.skipped.length > 0 && html`<p class="small muted">Left out: ${schedule.times.skipped.slice(0, 5).map((at) => moment(at, zone)).join("; ")}</p>`}
    ${can && !isOnce && html`<div class="row">
      ${schedule.enabled
        ? html`<button type="button" class="btn small" onClick=${() => ask_(true)}>Pause until…</button><${Act} look="small" done="It is off" run=${act(() => ask(`/schedules/${schedule.id}/disable`))}>Switch off<//>`
        : html`<${Act} look="small" done="It is on" run=${act(() => ask(`/schedules/${schedule.id}/enable`))}>Switch on<//>`}</div>`}
    ${isAsking && html`<${Pause} schedule=${schedule} zone=${zone} onClose=${() => ask_(false)} onDone=${act(async () => ask_(false))} />`}
  </section>`;
}

function Pause({ schedule, zone, onClose, onDone }) {
  const [until, setUntil] = useState(localOf(Date.now() + 7 * 86400e3, zone));
  const [error, setError] = useState();
  const submit = async (event) => {
    event.preventDefault();
    try {
      await ask(`/schedules/${schedule.id}/pause`, { until: startAt(until, zone).toISOString() });
      onDone();
    } catch (problem) {
      setError(problem);
    }
  };
  return html`<${Dialog} title="Pause this schedule" onClose=${onClose}><form class="stack" onSubmit=${submit}>
    <${Trouble} error=${error} /><p>Everything before this time is left out. Switching it on ends the pause.</p>
    <${Field} id="pause-until" label=${`Goes on at, in ${zone}`}>${(about) => html`<input ...${about} type="datetime-local" required value=${until} onInput=${(event) => setUntil(event.target.value)} />`}<//>
    <div class="row end"><button type="button" class="btn" onClick=${onClose}>Cancel</button><button class="btn main">Pause</button></div></form><//>`;
}
