// Connecting an account at its platform: what is asked for, and the way there.

import { Refused, mount, post } from "../api.js";
import { html, useEffect, useState } from "../dom.js";
import { clock } from "../time.js";
import { Busy, Dialog, Field, Trouble, platformName } from "../ui.js";

/** Begins; the browser keeps what shows later that it is the same one. */
async function begin(platform, what) {
  const begun = await post(`/accounts/connect/${platform}`, what);
  // A repeated answer does not tell the address again.
  if (!begun.address) throw new Refused({ title: "The answer was lost on its way", remedy: "try it once more" });
  return { ...begun, platform };
}

/** What the platform will ask, and the way there. */
function Agree({ begun, onClose }) {
  const platform = platformName(begun.platform);
  const back = new URL(begun.redirect_uri).origin;
  const isHere = back === location.origin;
  return html`<p>${platform} asks you to allow this:</p>
    <ul class="rows">${begun.scopes.map(({ scope, why }) => html`<li>${why} <span class="mono small muted">${scope}</span></li>`)}</ul>
    ${isHere
      ? html`<p class="hint">Agree there before ${clock(begun.expires_at)}; ${platform} then sends you back here. postq never sees your password.</p>`
      : html`<p class="note warn"><span>${platform} sends people back to ${back}, and this page is at ${location.origin}. Begin there: an account is connected in the page in which it was begun.</span></p>`}
    <div class="row end"><button type="button" class="btn" onClick=${onClose}>Cancel</button>
      ${isHere ? html`<a class="btn main" href=${begun.address}>Go to ${platform}</a>` : html`<a class="btn main" href=${`${back}${mount}/accounts`}>Open it there</a>`}
    </div>`;
}

/** Connects an account again: it keeps its posts. */
export function Again({ account, onClose }) {
  const [begun, setBegun] = useState();
  const [error, setError] = useState();
  useEffect(() => {
    begin(account.platform, { account: account.id }).then(setBegun, setError);
  }, []);
  return html`<${Dialog} title=${`Connect ${account.name} again`} onClose=${onClose}><div class="stack">
    <p>It keeps its posts, and what waits for it goes on. Agree as the same identity.</p>
    <${Trouble} error=${error} />
    ${begun ? html`<${Agree} begun=${begun} onClose=${onClose} />` : error ? html`<div class="row end"><button type="button" class="btn" onClick=${onClose}>Close</button></div>` : html`<${Busy} />`}
  </div><//>`;
}

/** Connects a new account: at its platform, with an access token, or for a dry run with nothing. */
export function Connect({ platforms, connects, several, passwords, onClose, onDone }) {
  const [form, setForm] = useState({ platform: connects[0] ?? (platforms.includes("dry_run") ? "dry_run" : platforms[0]), name: "", token: "", handle: "", password: "", identity: "" });
  const [isToken, setToken] = useState(false);
  const [begun, setBegun] = useState();
  const [error, setError] = useState();
  const set = (key) => (event) => setForm({ ...form, [key]: event.target.value });
  const isDry = form.platform === "dry_run";
  const takesPassword = passwords.includes(form.platform) && !isToken;
  const inBrowser = connects.includes(form.platform) && !isToken;
  const one = inBrowser && several[form.platform];
  const hasOther = connects.includes(form.platform) || passwords.includes(form.platform);
  const submit = async (event) => {
    event.preventDefault();
    const name = form.name.trim();
    try {
      setError(undefined);
      if (inBrowser) {
        const identity = form.identity.trim();
        setBegun(await begin(form.platform, { name, ...(one && identity ? { identity } : {}) }));
        return;
      }
      await post("/accounts", { platform: form.platform, name, ...(isDry ? {} : takesPassword ? { handle: form.handle.trim(), app_password: form.password } : { access_token: form.token }) });
      onDone();
    } catch (problem) {
      setError(problem);
    }
  };
  if (begun) return html`<${Dialog} title=${`Connect ${form.name.trim()}`} onClose=${onClose}><div class="stack"><${Agree} begun=${begun} onClose=${onClose} /></div><//>`;
  return html`<${Dialog} title="Connect an account" onClose=${onClose}><form class="stack" onSubmit=${submit}>
    <${Trouble} error=${error} />
    <${Field} id="platform" label="Platform" hint=${isDry ? "Sends nothing: to try things out." : ""}>${(about) => html`<select ...${about} value=${form.platform} onChange=${set("platform")}>${platforms.map((platform) => html`<option value=${platform}>${platformName(platform)}</option>`)}</select>`}<//>
    <${Field} id="name" label="Name" hint="What you call it here.">${(about) => html`<input ...${about} required maxlength="100" value=${form.name} onInput=${set("name")} />`}<//>
    ${one && html`<${Field} id="identity" label=${`Which ${one}`} hint="Its id or its name; only needed where you have several.">${(about) => html`<input ...${about} maxlength="200" autocomplete="off" value=${form.identity} onInput=${set("identity")} />`}<//>`}
    ${takesPassword && html`<${Field} id="handle" label="Handle" hint="Who you are there, without the @.">${(about) => html`<input ...${about} required autocapitalize="off" autocomplete="off" value=${form.handle} onInput=${set("handle")} />`}<//>
      <${Field} id="app-password" label="App password" hint=${`Make one for postq at ${platformName(form.platform)}; not your own. It is used once, and kept nowhere.`}>${(about) => html`<input ...${about} type="password" required autocomplete="off" value=${form.password} onInput=${set("password")} />`}<//>`}
    ${!isDry && !inBrowser && !takesPassword && html`<${Field} id="access" label="Access token" hint=${`It is sealed, and never shown again. Nothing renews it${hasOther ? "." : ": to stay connected, have the app's id and redirect URI set on this server (postqd doctor names them)."}`}>${(about) => html`<input ...${about} type="password" required autocomplete="off" value=${form.token} onInput=${set("token")} />`}<//>`}
    <div class="row end">${hasOther && html`<button type="button" class="btn quiet small" onClick=${() => setToken(!isToken)}>${isToken ? (connects.includes(form.platform) ? "Connect in the browser" : "I have an app password") : "I have an access token"}</button><span class="space"></span>`}
      <button type="button" class="btn" onClick=${onClose}>Cancel</button><button class="btn main">${inBrowser ? "Continue" : "Connect"}</button></div>
  </form><//>`;
}
