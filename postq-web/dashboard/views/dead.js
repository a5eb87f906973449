import { accountsById, all, get, post } from "../api.js";
import { html, useState } from "../dom.js";
import { link } from "../route.js";
import { may } from "../session.js";
import { Act, Empty, Head, Loaded, State, When, copy, gist, platformName, sentence, toast, useLoaded } from "../ui.js";

/** Letters that are shown of one cause. */
const SHOWN = 50;

/** Rounds of a bulk replay: each does up to 500. */
const ROUNDS = 20;

/** Where a post is written by hand, on the platforms that have such an address. */
const BY_HAND = { x: (text) => `https://x.com/intent/post?text=${encodeURIComponent(text)}` };

const CAUSES = {
  outcome_unknown: "Nobody knows whether it is out",
  content: "The platform does not take it as it is",
  auth: "The account’s token is refused",
  attempts_exhausted: "It was tried as often as it may be",
  cancelled: "It was called off while it waited",
  missing: "Something that it needs is gone",
  time_limit: "It took too long",
};

async function load() {
  const [causes, letters, accounts] = await Promise.all([get("/dead-letters/causes"), all("/dead-letters", {}, 1000), accountsById()]);
  return { causes: causes.items, letters, accounts };
}

export function DeadLetters() {
  const loaded = useLoaded(load, []);
  return html`<${Head} title="Dead letters" lead="What gave up, by cause. Nothing here is sent again, or thrown away, unless you say so." />
    <${Loaded} of=${loaded}>${(value) => value.letters.length === 0
      ? html`<${Empty} title="Nothing gave up" icon="out"><p>What postq cannot bring out, or cannot be sure about, waits here for you.</p><//>`
      : html`<div class="stack wide">${value.causes.map((cause) => html`<${Cause} key=${`${cause.account_id} ${cause.dead_reason}`} cause=${cause} ...${value} again=${loaded.again} />`)}</div>`}<//>`;
}

/** What was answered, without the word for the cause, which is said before it. */
const told = ({ reason, dead_reason }) => sentence(reason.replace(new RegExp(`^${dead_reason}: `), ""));

/** Does the same with each letter; one that cannot be holds up none of the others. */
async function each(letters, run, done) {
  const failed = [];
  for (const letter of letters) {
    try {
      await run(letter);
    } catch (problem) {
      failed.push(problem);
    }
  }
  const good = letters.length - failed.length;
  if (good > 0) toast(`${good} ${done}`);
  if (failed.length > 0) toast(`${failed.length} not: ${failed[0].message}`, "bad");
}

function Cause({ cause, letters, accounts, again }) {
  const [chosen, setChosen] = useState(new Set());
  const mine = letters.filter((letter) => letter.account_id === cause.account_id && letter.dead_reason === cause.dead_reason);
  const account = accounts.get(cause.account_id);
  const isHeld = cause.dead_reason === "outcome_unknown";
  const picked = mine.filter((letter) => chosen.has(letter.id));
  const pick = (id, on) => setChosen((old) => {
    const next = new Set(old);
    if (on) next.add(id);
    else next.delete(id);
    return next;
  });
  const over = () => {
    setChosen(new Set());
    again();
  };
  const replay = (body) => async () => {
    await each(picked, (letter) => post(`/dead-letters/${letter.id}/replay`, body), "on the way again");
    over();
  };
  const resolve = (resolution, done) => async () => {
    await each(picked, (letter) => post(`/dead-letters/${letter.id}/resolve`, { resolution }), done);
    over();
  };
  const replayAll = async () => {
    let count = 0;
    for (let round = 0; round < ROUNDS; round += 1) {
      const done = await post("/dead-letters/replay", { dead_reason: cause.dead_reason, account: cause.account_id, limit: 500 });
      count += done.replayed.length;
      if (!done.more || done.replayed.length === 0) break;
    }
    toast(`${count} on the way again`);
    over();
  };
  const title = account ? `${account.name} on ${platformName(account.platform)}` : cause.account_id ? "A removed account" : "Not of an account";
  return html`<section class="card stack" aria-label=${`${title}: ${CAUSES[cause.dead_reason] ?? cause.reason}`}>
    <div class="row"><${State} of=${isHeld ? "held" : "dead_letter"} /><h2 class="grow">${title}</h2>
      <span class="muted small">${cause.count} ${cause.count === 1 ? "post" : "posts"}</span></div>
    <p>${CAUSES[cause.dead_reason] && html`<strong>${CAUSES[cause.dead_reason]}.</strong> `}${told(cause)}</p>
    ${isHeld && html`<p class="note warn"><span>It may be out, and the platform cannot tell. Look there first. If it is there, mark it as published.</span></p>`}
    ${may("write") && html`<div class="row">
      <label class="check"><input type="checkbox" checked=${picked.length === mine.length} onChange=${(event) => setChosen(event.target.checked ? new Set(mine.map((letter) => letter.id)) : new Set())} />Choose all ${mine.length}</label>
      <span class="space"></span>
      ${isHeld
        ? html`<${Act} look="small main" disabled=${!picked.length} run=${resolve("marked_published", "marked as published")}>Mark as published<//>
          <${Act} look="small" disabled=${!picked.length} run=${replay({ send_again: true })} sure=${{ title: "Send again?", text: "If a post is out already, it will be out twice.", yes: "Send again" }}>Send again<//>`
        : html`<${Act} look="small main" disabled=${!picked.length} run=${replay()}>Replay${picked.length ? ` ${picked.length}` : ""}<//>
          ${cause.account_id && cause.count > mine.length && html`<${Act} look="small" run=${replayAll}>Replay all ${cause.count}<//>`}
          <${Act} look="small" disabled=${!picked.length} run=${resolve("marked_published", "marked as published")}>Mark as published<//>`}
      <${Act} look="small bad" disabled=${!picked.length} run=${resolve("discarded", "discarded")} sure=${{ title: "Discard what is chosen?", text: "It is not sent, and does not come back here. Its history stays.", yes: "Discard" }}>Discard<//>
    </div>`}
    <ul class="rows">${mine.slice(0, SHOWN).map((letter) => html`<${Letter} key=${letter.id} letter=${letter} account=${account}
      isChosen=${chosen.has(letter.id)} onPick=${pick} reason=${letter.reason === cause.reason ? "" : letter.reason} />`)}</ul>
    ${mine.length > SHOWN && html`<p class="small muted">and ${cause.count - SHOWN} more</p>`}
  </section>`;
}

function Letter({ letter, account, isChosen, onPick, reason }) {
  const what = gist([{ text: letter.gist ?? "" }]);
  const byHand = account && BY_HAND[account.platform];
  const take = async () => {
    const { parts } = await get(`/posts/${letter.post_id}`);
    const text = parts.map((part) => part.text).join("\n\n");
    if (byHand) open(byHand(text), "_blank", "noopener");
    await copy(text);
  };
  return html`<li class="row">
    ${may("write") && html`<input type="checkbox" aria-label=${`Choose ${what}`} checked=${isChosen} onChange=${(event) => onPick(letter.id, event.target.checked)} />`}
    <span class="grow"><a ...${link(`/jobs/${letter.id}`)}>${what}</a>${reason && html`<br /><span class="small muted">${reason}</span>`}</span>
    <span class="small muted">planned <${When} at=${letter.planned_at} /></span>
    ${letter.gist && html`<${Act} look="small" run=${take}>${byHand ? "Copy text and open the platform" : "Copy text"}<//>`}
  </li>`;
}
