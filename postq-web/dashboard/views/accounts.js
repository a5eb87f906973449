import { all, get, patch, post, remove } from "../api.js";
import { html, useEffect, useState } from "../dom.js";
import { Icon } from "../icons.js";
import { may } from "../session.js";
import { link } from "../route.js";
import { Act, Badge, Block, Dialog, Empty, Field, Head, Loaded, Trouble, When, platformName, useLoaded } from "../ui.js";
import { Again, Connect } from "./connect.js";

async function load() {
  const [accounts, about, limits, known] = await Promise.all([all("/accounts"), get("/about"), get("/limits"), get("/platforms")]);
  const several = Object.fromEntries(known.items.map((platform) => [platform.platform, platform.several]));
  return { accounts, several, platforms: about.platforms, connects: about.connects, passwords: about.passwords, limits: limits.items };
}

/** What came of connecting, if one has just come back from a platform; told once. */
function cameBack() {
  const query = new URLSearchParams(location.search);
  const how = query.get("connected");
  if (how) history.replaceState(null, "", location.pathname);
  return how && { again: how === "again", as: query.get("as"), waiting: Number(query.get("waiting")) || 0 };
}

/** The limits that hold for an account: its own, and those of the whole app. */
const limitsOf = (account, limits) => limits.filter((one) => one.platform === account.platform && (one.account_id ?? account.id) === account.id);

export function Accounts({ chosen }) {
  const loaded = useLoaded(load, []);
  const [isNew, setNew] = useState(false);
  const [back] = useState(cameBack);
  const isThere = loaded.value !== undefined;
  useEffect(() => document.getElementById(chosen)?.scrollIntoView(), [chosen, isThere]);
  return html`<${Head} title="Accounts" lead="Where posts go to, and whether they can.">
      ${may("admin") && html`<button type="button" class="btn main" onClick=${() => setNew(true)}><${Icon} name="plus" />Connect an account</button>`}<//>
    <${Loaded} of=${loaded}>${({ accounts, platforms, connects, several, passwords, limits }) => html`
      ${accounts.length === 0
        ? html`<${Empty} title="No account yet" icon="accounts"><p>Connect one to publish; or begin with a dry run, which sends nothing and needs no token.</p>${may("admin") && html`<button type="button" class="btn main" onClick=${() => setNew(true)}>Connect an account</button>`}<//>`
        : html`<div class="grid">${accounts.map((account) => html`<${Account} key=${account.id} account=${account} limits=${limitsOf(account, limits)} connects=${connects.includes(account.platform)} back=${account.id === chosen && back} again=${loaded.again} />`)}</div>`}
      ${isNew && html`<${Connect} platforms=${platforms} connects=${connects} several=${several} passwords=${passwords} onClose=${() => setNew(false)} onDone=${() => { setNew(false); loaded.again(); }} />`}`}<//>`;
}

/** How it stands: the first block that says something to a person. */
function health(account) {
  const block = account.blocks[0];
  return block ? html`<${Block} of=${{ ...block, until: null }} />` : html`<${Badge} look="good"><${Icon} name="out" />Works<//>`;
}

/** How much of a limit is left, in words. */
function Limit({ of }) {
  const left = of.told ? Math.min(of.left, of.told.left) : of.left;
  const back = of.told && of.told.left === 0 ? of.told.resets_at : of.next_at;
  return html`<dt>${of.account_id ? "May post" : "All accounts together"}</dt><dd>${of.at_once < of.calls
    ? `${of.calls} ${spanOf(of.per_seconds)}, ${of.at_once} at once; ${left} left`
    : `${left} of ${of.calls} ${spanOf(of.per_seconds)} left`}${left === 0 && html`, again <${When} at=${back} />`}</dd>`;
}

const SPANS = [[86400, "day"], [3600, "hour"], [60, "minute"]];

function spanOf(seconds) {
  const [size, word] = SPANS.find(([size]) => seconds >= size && seconds % size === 0) ?? [1, "second"];
  const many = Math.round(seconds / size);
  return many === 1 ? `per ${word}` : `per ${many} ${word}s`;
}

/** When a token ends, and whether that is soon; of one that is renewed before, only if it was not. */
function Expiry({ at, renews, trouble }) {
  const days = (new Date(at) - Date.now()) / 86400e3;
  if (renews && days > 0 && !trouble) return html`<${Badge} look="good"><${Icon} name="waiting" />renewed by itself, this one ends <${When} at=${at} /><//>`;
  const look = days < 0 ? "bad" : days < 7 ? "warn" : "good";
  return html`<${Badge} look=${look}><${Icon} name=${days < 7 ? "held" : "waiting"} />${days < 0 ? "ended" : "ends"} <${When} at=${at} /><//>`;
}

/** An account has just been connected. */
function CameBack({ of: { again, as, waiting } }) {
  const posts = waiting === 1 ? "One post that waited goes on." : `${waiting} posts that waited go on.`;
  return html`<p class="note good" role="status"><span>Connected${again ? " again" : ""}${as && ` as @${as}`}. ${waiting > 0 && posts}</span></p>`;
}

/** Why a token is not renewed yet. */
function TokenTrouble({ account }) {
  const hasEnded = account.token_expires_at && new Date(account.token_expires_at) < new Date();
  return html`<p class="note warn"><span>Its token could not be renewed yet: ${account.token_trouble}. It is tried again every minute${hasEnded ? "; until it can, its posts wait" : ""}.</span></p>`;
}

function Account({ account, limits, connects, back, again }) {
  const [ask, setAsk] = useState();
  const needsUs = account.blocks.some((block) => block.reason === "needs_attention");
  const isPaused = account.blocks.some((block) => block.reason === "paused");
  const act = (run) => async () => {
    await run();
    again();
  };
  return html`<section class="card stack" id=${account.id} aria-label=${account.name}>
    <div class="row"><h2 class="grow">${account.name} <span class="muted small">${platformName(account.platform)}</span></h2>${health(account)}</div>
    ${account.blocks.map((block) => html`<p class="note warn"><span>${block.note || block.reason.replaceAll("_", " ")}${block.until ? html`, until <${When} at=${block.until} />` : ""}</span></p>`)}
    ${back && html`<${CameBack} of=${back} />`}
    ${account.token_trouble && html`<${TokenTrouble} account=${account} />`}
    <dl class="pairs">
      <dt>Credentials</dt><dd>${account.has_credentials ? "sealed" : account.platform === "dry_run" ? "none needed" : "missing"}</dd>
      ${account.token_expires_at && html`<dt>Token</dt><dd><${Expiry} at=${account.token_expires_at} renews=${account.token_renews} trouble=${account.token_trouble} /></dd>`}
      ${limits.map((limit) => html`<${Limit} of=${limit} />`)}
      <dt>If an outcome is unknown</dt><dd>${account.on_unknown === "hold" ? "hold it for a person" : "send it again"}</dd>
      <dt>Connected</dt><dd><${When} at=${account.created_at} /></dd>
    </dl>
    <div class="row">
      ${may("admin") && connects && html`<button type="button" class=${`btn small ${needsUs ? "main" : ""}`} onClick=${() => setAsk("again")}>Connect again</button>`}
      ${may("admin") && (isPaused || account.blocks.length > 0
        ? html`<${Act} look="small" done="It goes on" run=${act(() => post(`/accounts/${account.id}/resume`))}>Resume<//>`
        : html`<${Act} look="small" done="Paused" run=${act(() => post(`/accounts/${account.id}/pause`, { note: "paused in the dashboard" }))}>Pause<//>`)}
      ${may("admin") && account.platform !== "dry_run" && html`<button type="button" class="btn small" onClick=${() => setAsk("token")}>New token</button>`}
      <a class="btn small" ...${link(`/accounts/${account.id}/slots`)}>Slots</a>
      <a class="btn small" ...${link(`/analytics?account=${account.id}`)}>Analytics</a>
      <span class="space"></span>
      ${may("admin") && html`<button type="button" class="btn small bad" onClick=${() => setAsk("remove")}>Remove</button>`}
    </div>
    ${ask === "again" && html`<${Again} account=${account} onClose=${() => setAsk()} />`}
    ${ask === "token" && html`<${Token} account=${account} onClose=${() => setAsk()} onDone=${() => { setAsk(); again(); }} />`}
    ${ask === "remove" && html`<${Dialog} title=${`Remove ${account.name}?`} onClose=${() => setAsk()}>
      <p>Its credentials are wiped${account.platform === "dry_run" ? "" : `, and what was agreed to at ${platformName(account.platform)} is taken back there where we can`}. What it published stays, and so does its history.</p>
      <p>While a schedule or a post that waits uses it, it cannot be removed: call those off first.</p>
      <div class="row end"><button type="button" class="btn" onClick=${() => setAsk()}>Keep it</button><${Act} look="bad" done="Removed" run=${act(() => remove(`/accounts/${account.id}`))}>Remove<//></div><//>`}
  </section>`;
}

function Token({ account, onClose, onDone }) {
  const [token, setToken] = useState("");
  const [error, setError] = useState();
  const submit = async (event) => {
    event.preventDefault();
    try {
      await patch(`/accounts/${account.id}`, { access_token: token });
      onDone();
    } catch (problem) {
      setError(problem);
    }
  };
  return html`<${Dialog} title=${`A new token for ${account.name}`} onClose=${onClose}><form class="stack" onSubmit=${submit}>
    <${Trouble} error=${error} />
    <${Field} id="new-token" label="Access token" hint="It is sealed, and never shown again.">${(about) => html`<input ...${about} type="password" required autocomplete="off" value=${token} onInput=${(event) => setToken(event.target.value)} />`}<//>
    <div class="row end"><button type="button" class="btn" onClick=${onClose}>Cancel</button><button class="btn main">Save</button></div>
  </form><//>`;
}
