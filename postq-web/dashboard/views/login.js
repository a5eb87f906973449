import { signIn } from "../session.js";
import { html, useEffect, useRef, useState } from "../dom.js";
import { Sign } from "../icons.js";
import { Field, sentence } from "../ui.js";

export function Login() {
  const [token, setToken] = useState("");
  const [error, setError] = useState();
  const [busy, setBusy] = useState(false);
  const field = useRef();
  useEffect(() => {
    document.title = "Sign in · postq";
    field.current?.querySelector("input").focus();
  }, []);
  const submit = async (event) => {
    event.preventDefault();
    setBusy(true);
    try {
      await signIn(token.trim());
    } catch (problem) {
      setError(problem);
      setBusy(false);
    }
  };
  return html`<main class="login"><div class="card stack wide" ref=${field}>
    <div class="brand"><${Sign} /><span>postq</span></div>
    <h1>Sign in</h1>
    <form class="stack" onSubmit=${submit}>
      <input type="text" name="username" autocomplete="username" value="postq" hidden readonly />
      <${Field} id="token" label="Token" wrong=${error && `${sentence(error.message)}${error.remedy ? `: ${error.remedy}` : ""}`}
        hint=${html`Made on the machine that runs postq: <code>postqd token create --scope write --name NAME</code>`}>
        ${(about) => html`<input ...${about} type="password" autocomplete="current-password" required value=${token} onInput=${(event) => setToken(event.target.value)} />`}
      <//>
      <button class="btn main" disabled=${busy || !token.trim()}>${busy ? "Signing in…" : "Sign in"}</button>
    </form>
  </div></main>`;
}
