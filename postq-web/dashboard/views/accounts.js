import { all, get, patch, post, remove } from "../api.js";
import { html, useEffect, useState } from "../dom.js";
import { Icon } from "../icons.js";
import { may } from "../session.js";
import { Act, Badge, Block, Dialog, Empty, Field, Head, Loaded, Trouble, When, platformName, useLoaded } from "../ui.js";

async function load() {
  const [accounts, about, limits] = await Promise.all([all("/accounts"), get("/about"), get("/limits")]);
  return { accounts, platforms: about.platforms, limits: limits.items };
}

/** The limits that hold for an account: its own, and those of the whole app. */
const limitsOf = (account, limits) => limits.filter((one) => one.platform === account.platform && (one.account_id ?? account.id) === account.id);

export function Accounts({ chosen }) {
  const loaded = useLoaded(load, []);
  const [isNew, setNew] = useState(false);
  const isThere = loaded.value !== undefined;
  useEffect(() => document.getElementById(chosen)?.scrollIntoView(), [chosen, isThere]);
  return html`<${Head} title="Accounts" lead="Where posts go to, and whether they can.">
      ${may("admin") && html`<button type="button" class="btn main" onClick=${() => setNew(true)}><${Icon} name="plus" />Connect an account</button>`}<//>
    <${Loaded} of=${loaded}>${({ accounts, platforms, limits }) => html`
      ${accounts.length === 0
        ? html`<${Empty} title="No account yet" icon="accounts"><p>Connect one to publish; or begin with a dry run, which sends nothing and needs no token.</p>${may("admin") && html`<button type="button" class="btn main" onClick=${() => setNew(true)}>Connect an account</button>`}<//>`
        : html`<div class="grid">${accounts.map((account) => html`<${Account} key=${account.id} account=${account} limits=${limitsOf(account, limits)} again=${loaded.again} />`)}</div>`}
      ${isNew && html`<${Connect} platforms=${platforms} onClose=${() => setNew(false)} onDone=${() => { setNew(false); loaded.again(); }} />`}`}<//>`;
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
  return html`<dt>${of.account_id ? "May post" : "All accounts together"}</dt><dd>${left} of ${of.calls} ${spanOf(of.per_seconds)} left${left === 0 && html`, again <${When} at=${back} />`}</dd>`;
}

const SPANS = [[86400, "day"], [3600, "hour"], [60, "minute"]];

function spanOf(seconds) {
  const [size, word] = SPANS.find(([size]) => seconds >= size && seconds % size === 0) ?? [1, "second"];
  const many = Math.round(seconds / size);
  return many === 1 ? `per ${word}` : `per ${many} ${word}s`;
}

/** When a token ends, and whether that is soon. */
function Expiry({ at }) {
  const days = (new Date(at) - Date.now()) / 86400e3;
  const look = days < 0 ? "bad" : days < 7 ? "warn" : "good";
  return html`<${Badge} look=${look}><${Icon} name=${days < 7 ? "held" : "waiting"} />${days < 0 ? "ended" : "ends"} <${When} at=${at} /><//>`;
}

function Account({ account, limits, again }) {
  const [ask, setAsk] = useState();
  const isPaused = account.blocks.some((block) => block.reason === "paused");
  const act = (run) => async () => {
    await run();
    again();
  };
  return html`<section class="card stack" id=${account.id} aria-label=${account.name}>
    <div class="row"><h2 class="grow">${account.name} <span class="muted small">${platformName(account.platform)}</span></h2>${health(account)}</div>
    ${account.blocks.map((block) => html`<p class="note warn"><span>${block.note || block.reason.replaceAll("_", " ")}${block.until ? html`, until <${When} at=${block.until} />` : ""}</span></p>`)}
    <dl class="pairs">
      <dt>Credentials</dt><dd>${account.has_credentials ? "sealed" : account.platform === "dry_run" ? "none needed" : "missing"}</dd>
      ${account.token_expires_at && html`<dt>Token</dt><dd><${Expiry} at=${account.token_expires_at} /></dd>`}
      ${limits.map((limit) => html`<${Limit} of=${limit} />`)}
      <dt>If an outcome is unknown</dt><dd>${account.on_unknown === "hold" ? "hold it for a person" : "send it again"}</dd>
      <dt>Connected</dt><dd><${When} at=${account.created_at} /></dd>
    </dl>
    <div class="row">
      ${may("admin") && (isPaused || account.blocks.length > 0
        ? html`<${Act} look="small" done="It goes on" run=${act(() => post(`/accounts/${account.id}/resume`))}>Resume<//>`
        : html`<${Act} look="small" done="Paused" run=${act(() => post(`/accounts/${account.id}/pause`, { note: "paused in the dashboard" }))}>Pause<//>`)}
      ${may("admin") && account.platform !== "dry_run" && html`<button type="button" class="btn small" onClick=${() => setAsk("token")}>New token</button>`}
      <span class="space"></span>
      ${may("admin") && html`<button type="button" class="btn small bad" onClick=${() => setAsk("remove")}>Remove</button>`}
    </div>
    ${ask === "token" && html`<${Token} account=${account} onClose=${() => setAsk()} onDone=${() => { setAsk(); again(); }} />`}
    ${ask === "remove" && html`<${Dialog} title=${`Remove ${account.name}?`} onClose=${() => setAsk()}>
      <p>What waits for it is called off. What is out stays, and so does its history.</p>
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

function Connect({ platforms, onClose, onDone }) {
  const [form, setForm] = useState({ platform: platforms[0], name: "", token: "" });
  const [error, setError] = useState();
  const set = (key) => (event) => setForm({ ...form, [key]: event.target.value });
  const submit = async (event) => {
    event.preventDefault();
    const body = { platform: form.platform, name: form.name.trim() };
    if (form.platform !== "dry_run") body.access_token = form.token;
    try {
      await post("/accounts", body);
      onDone();
    } catch (problem) {
      setError(problem);
    }
  };
  return html`<${Dialog} title="Connect an account" onClose=${onClose}><form class="stack" onSubmit=${submit}>
    <${Trouble} error=${error} />
    <${Field} id="platform" label="Platform" hint=${form.platform === "dry_run" ? "Sends nothing: to try things out." : ""}>${(about) => html`<select ...${about} value=${form.platform} onChange=${set("platform")}>${platforms.map((platform) => html`<option value=${platform}>${platformName(platform)}</option>`)}</select>`}<//>
    <${Field} id="name" label="Name" hint="What you call it here.">${(about) => html`<input ...${about} required maxlength="100" value=${form.name} onInput=${set("name")} />`}<//>
    ${form.platform !== "dry_run" && html`<${Field} id="access" label="Access token" hint="It is sealed, and never shown again.">${(about) => html`<input ...${about} type="password" required autocomplete="off" value=${form.token} onInput=${set("token")} />`}<//>`}
    <div class="row end"><button type="button" class="btn" onClick=${onClose}>Cancel</button><button class="btn main">Connect</button></div>
  </form><//>`;
}
