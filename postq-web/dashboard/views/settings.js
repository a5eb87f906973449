import { all, get, mount, post, remove } from "../api.js";
import { html, useState } from "../dom.js";
import { known, leave, may, signIn } from "../session.js";
import { Act, Badge, Dialog, Empty, Field, Head, Trouble, When, copy, toast, useLoaded, Loaded } from "../ui.js";

export function Settings() {
  return html`<${Head} title="Settings" lead="Who may use postq, and who is told of what happens." />
    <div class="stack wide">${may("admin")
      ? html`<${Tokens} /><${Webhooks} /><${Notifications} />`
      : html`<${Empty} title="This needs the scope admin" icon="settings"><p>Sign in with a token of that scope: <code>postqd token create --scope admin --name NAME</code></p><//>`}
      <${Session} /><${About} /></div>`;
}

function Section({ title, children, action }) {
  return html`<section class="card stack" aria-label=${title}><div class="row"><h2 class="grow">${title}</h2>${action}</div>${children}</section>`;
}

function Tokens() {
  const loaded = useLoaded(() => all("/tokens"), [], { live: false });
  const [name, setName] = useState("");
  const [scope, setScope] = useState("write");
  const isFirst = !known().name;
  const [made, setMade] = useState();
  const [error, setError] = useState();
  const make = async (event) => {
    event.preventDefault();
    try {
      const token = await post("/tokens", { name: name.trim(), scope: isFirst ? "admin" : scope });
      setMade(token);
      // The first one shuts out whoever has none: who made it goes on with it.
      if (isFirst) await signIn(token.token);
      setError(undefined);
      setName("");
      loaded.again();
    } catch (problem) {
      setError(problem);
    }
  };
  return html`<${Section} title="Tokens">
    <p class="muted">A token lets a person or a program in. <em>read</em> looks, <em>write</em> works with posts, <em>admin</em> also with accounts and tokens.</p>
    <${Loaded} of=${loaded}>${(tokens) => tokens.length === 0
      ? html`<p class="note warn"><span>There is none: whoever is on this machine may do everything. With the first one, everybody needs one: it has the scope admin, and you go on with it here.</span></p>`
      : html`<div class="scroll"><table class="table"><thead><tr><th scope="col">Name</th><th scope="col">Scope</th><th scope="col">Last used</th><th scope="col"></th></tr></thead>
        <tbody>${tokens.map((token) => html`<tr key=${token.id}><th scope="row">${token.name}</th><td>${token.scope}</td><td><${When} at=${token.used_at} /></td>
          <td class="num">${token.revoked_at ? html`<${Badge}>revoked<//>` : html`<${Act} look="small bad" label=${`Revoke ${token.name}`} done="Revoked" sure=${{ title: `Revoke “${token.name}”?`, text: "Whoever uses it is out at once, and needs another one.", yes: "Revoke" }} run=${async () => { await remove(`/tokens/${token.id}`); loaded.again(); }}>Revoke<//>`}</td></tr>`)}</tbody></table></div>`}<//>
    <${Trouble} error=${error} />
    <form class="fields" onSubmit=${make}>
      <${Field} id="token-name" label="Name">${(about) => html`<input ...${about} required value=${name} onInput=${(event) => setName(event.target.value)} />`}<//>
      <${Field} id="token-scope" label="Scope">${(about) => html`<select ...${about} value=${isFirst ? "admin" : scope} onChange=${(event) => setScope(event.target.value)}>${isFirst ? html`<option>admin</option>` : html`<option>read</option><option>write</option><option>admin</option>`}</select>`}<//>
      <button class="btn main">Make a token</button>
    </form>
    ${made && html`<${Shown} title=${`Token “${made.name}”`} secret=${made.secret ?? made.token} onClose=${() => setMade()} />`}
  <//>`;
}

function Shown({ title, secret, onClose }) {
  return html`<${Dialog} title=${title} onClose=${onClose}><p>It is shown this once. Keep it where secrets are kept.</p>
    <p class="card mono text">${secret}</p>
    <div class="row end"><button type="button" class="btn" onClick=${() => copy(secret)}>Copy</button><button type="button" class="btn main" onClick=${onClose}>I have it</button></div><//>`;
}

function Webhooks() {
  const loaded = useLoaded(() => all("/webhooks"), [], { live: false });
  const [url, setUrl] = useState("");
  const [made, setMade] = useState();
  const [error, setError] = useState();
  const make = async (event) => {
    event.preventDefault();
    try {
      setMade(await post("/webhooks", { url: url.trim(), events: [] }));
      setError(undefined);
      setUrl("");
      loaded.again();
    } catch (problem) {
      setError(problem);
    }
  };
  const act = (run) => async () => {
    await run();
    loaded.again();
  };
  const test = (hook) => async () => {
    const tried = await post(`/webhooks/${hook.id}/test`);
    toast(tried.taken ? `Taken, in ${tried.took_ms} ms` : `Not taken: ${tried.answer}`, tried.taken ? "good" : "bad");
  };
  return html`<${Section} title="Webhooks">
    <p class="muted">Other programs are told of what happens: signed as Standard Webhooks are, and again until they have taken it.</p>
    <${Loaded} of=${loaded}>${(hooks) => hooks.length > 0 && html`<ul class="stack">${hooks.map((hook) => html`<li key=${hook.id} class="row">
      <span class="grow mono text">${hook.url}</span>
      ${hook.paused ? html`<${Badge} look="warn">paused: ${hook.paused.why}<//>` : html`<${Badge} look="good">on<//>`}
      <${Act} look="small" label=${`Test ${hook.url}`} run=${test(hook)}>Test<//>
      ${hook.paused ? html`<${Act} look="small" run=${act(() => post(`/webhooks/${hook.id}/resume`))}>Resume<//>` : html`<${Act} look="small" run=${act(() => post(`/webhooks/${hook.id}/pause`, { note: "paused in the dashboard" }))}>Pause<//>`}
      <${Act} look="small bad" label=${`Remove ${hook.url}`} done="Removed" sure=${{ title: "Remove this webhook?", text: `${hook.url} is told of nothing any more.`, yes: "Remove" }} run=${act(() => remove(`/webhooks/${hook.id}`))}>Remove<//>
    </li>`)}</ul>`}<//>
    <${Trouble} error=${error} />
    <form class="fields" onSubmit=${make}>
      <${Field} id="hook-url" label="URL">${(about) => html`<input ...${about} type="url" required placeholder="https://" value=${url} onInput=${(event) => setUrl(event.target.value)} />`}<//>
      <button class="btn main">Add a webhook</button>
    </form>
    ${made && html`<${Shown} title="The secret that signs its deliveries" secret=${made.secret} onClose=${() => setMade()} />`}
  <//>`;
}

const CHANNELS = { log: "The log", webhook: "A webhook", slack: "Slack", mail: "Mail" };

function Notifications() {
  const loaded = useLoaded(() => get("/notifications"), [], { live: false });
  const [tried, setTried] = useState(new Map());
  const test = async () => {
    const { items } = await post("/notifications/test");
    setTried(new Map(items.map((one) => [one.channel, one])));
  };
  return html`<${Section} title="Notifications" action=${html`<${Act} look="small" run=${test}>Send a test<//>`}>
    <${Loaded} of=${loaded}>${({ channels, notices }) => html`
      <ul class="rows">${channels.map((one) => html`<li key=${one.channel} class="row"><span class="grow">${CHANNELS[one.channel] ?? one.channel}${one.to.length > 0 && html` <span class="muted">to ${one.to.join(", ")}</span>`}
        ${tried.get(one.channel)?.error && html`<br /><span class="wrong">${tried.get(one.channel).error}</span>`}</span><${Tried} of=${tried.get(one.channel)} /></li>`)}</ul>
      ${channels.length < 2 && html`<p class="note"><span>Nobody is told but whoever reads the log. Settings of the daemon add a webhook, Slack or mail: <code>postqd config</code> shows their names.</span></p>`}
      <details><summary>What they tell of</summary><ul class="rows">${notices.map((one) => html`<li class="small">${one.when}: ${one.how_often}</li>`)}</ul></details>`}<//>
  <//>`;
}

function Tried({ of }) {
  if (!of) return html`<${Badge} look="good">on<//>`;
  return of.delivered ? html`<${Badge} look="good">the test is there<//>` : html`<${Badge} look="bad">not taken<//>`;
}

function Session() {
  const who = known();
  if (!who.name) return null;
  return html`<${Section} title="You" action=${html`<${Act} look="small" run=${leave}>Sign out<//>`}><p>Signed in with the token “${who.name}”, of the scope ${who.scope}.</p><//>`;
}

function About() {
  const loaded = useLoaded(() => get("/about"), [], { live: false });
  return html`<${Section} title="About"><${Loaded} of=${loaded}>${(about) => html`<dl class="pairs"><dt>Version</dt><dd>${about.version}</dd><dt>Platforms</dt><dd>${about.platforms.join(", ")}</dd><dt>Time zones</dt><dd>${about.tzdb}</dd>
    <dt>API</dt><dd><a href=${`${mount}/api/docs`}>its documentation</a></dd></dl>`}<//><//>`;
}
