// The parts that every view is made of.

import { unique } from "./api.js";
import { html, useEffect, useRef, useState } from "./dom.js";
import { Icon } from "./icons.js";
import { ago, long } from "./time.js";
import { listen } from "./live.js";

/** What each state of a job is called, and how it looks: never by its colour alone. */
const STATES = {
  planned: ["waiting", "Planned", "calendar"],
  enqueued: ["waiting", "Waiting", "waiting"],
  running: ["run", "Going out", "running"],
  succeeded: ["good", "Out", "out"],
  failed: ["warn", "Trying again", "again"],
  dead_letter: ["bad", "Gave up", "failed"],
  held: ["warn", "Held", "held"],
  cancelled: ["off", "Called off", "off"],
  missed: ["off", "Missed", "off"],
  draft: ["draft", "Draft", "draft"],
};

/** Where a post stands as a whole. */
const POST_STATES = {
  draft: ["draft", "Draft", "draft"],
  scheduled: ["waiting", "Scheduled", "waiting"],
  published: ["good", "Out", "out"],
  partly_published: ["warn", "Partly out", "held"],
  failed: ["bad", "Gave up", "failed"],
  cancelled: ["off", "Called off", "off"],
};

/** What people call a platform. */
export const platformName = (name) => name.replaceAll("_", " ").replace(/^./, (letter) => letter.toUpperCase());

/** A word that is told apart by its sign as well as by its colour. */
function Mark({ of: [look, word, icon], children }) {
  return html`<span class=${`badge ${look}`}><${Icon} name=${icon} />${word}${children}</span>`;
}

export function State({ of }) {
  return html`<${Mark} of=${STATES[of] ?? ["", of, "waiting"]} />`;
}

/** What holds an account back. */
const BLOCKS = {
  paused: ["warn", "Paused", "held"],
  rate_limit: ["warn", "Waits for a limit", "waiting"],
  budget: ["bad", "Budget used up", "dead"],
  credits: ["bad", "Out of credits", "dead"],
  needs_attention: ["bad", "Needs you", "dead"],
};

export function Block({ of }) {
  return html`<${Mark} of=${BLOCKS[of.reason] ?? ["warn", of.reason.replaceAll("_", " "), "held"]}>${of.until && html`, until <${When} at=${of.until} />`}<//>`;
}

export function PostState({ of }) {
  return html`<${Mark} of=${POST_STATES[of] ?? ["", of, "waiting"]} />`;
}

export function Badge({ look = "", children }) {
  return html`<span class=${`badge ${look}`}>${children}</span>`;
}

export function When({ at, zone }) {
  if (!at) return html`<span class="muted">never</span>`;
  return html`<time datetime=${at} title=${`${long(at, zone)}`}>${ago(at)}</time>`;
}

export function Head({ title, children, lead }) {
  useEffect(() => {
    document.title = `${title} · postq`;
  }, [title]);
  return html`<div class="head"><h1 class="grow" tabindex="-1" id="title">${title}</h1>${children}${lead && html`<p>${lead}</p>`}</div>`;
}

export function Empty({ title, children, icon }) {
  return html`<div class="card empty">${icon && html`<span class="muted"><${Icon} name=${icon} /></span>`}<h2>${title}</h2>${children}</div>`;
}

/** With a capital letter, as a sentence begins. */
export const sentence = (text) => text.slice(0, 1).toUpperCase() + text.slice(1);

/** What went wrong and what to do about it. */
export function Trouble({ error }) {
  if (!error) return null;
  return html`<div class="note bad" role="alert"><div>
    <p><strong>${sentence(error.message)}</strong></p>
    ${(error.errors ?? []).filter((one) => one.message !== error.message).map((one) => html`<p class="small">${one.field}: ${one.message}</p>`)}
    ${error.remedy && html`<p class="small">${sentence(error.remedy)}</p>`}
  </div></div>`;
}

export function Busy({ what = "Loading" }) {
  return html`<div class="row muted" role="status"><span class="spin"></span>${what}…</div>`;
}

/** What failed, and may not fail again, is loaded again after so long. */
const AGAIN_AFTER = 5000;

/**
 * Loads something, again when what it depends on changes, when something happens, and when the stream of
 * events comes back. What was loaded stays until the next is there.
 */
export function useLoaded(load, inputs, { live = true, within = 250 } = {}) {
  const [loaded, setLoaded] = useState({ value: undefined, error: undefined });
  const again = useRef(() => {});
  useEffect(() => {
    let over = false;
    let timer;
    let running = false;
    let asked = false;
    let due = false;
    const run = async () => {
      if (running) {
        asked = true;
        return;
      }
      running = true;
      try {
        const value = await load();
        if (!over) setLoaded({ value, error: undefined });
      } catch (error) {
        if (!over) setLoaded((old) => ({ ...old, error }));
        if (!over && error.isPassing && !due) timer = setTimeout(run, AGAIN_AFTER);
      }
      running = false;
      if (asked && !over) {
        asked = false;
        soon();
      }
    };
    // Many events at once are one reason to look, and those that keep coming do not put it off.
    const soon = () => {
      if (due) return;
      due = true;
      clearTimeout(timer);
      timer = setTimeout(() => {
        due = false;
        run();
      }, within);
    };
    again.current = run;
    run();
    const stop = live ? listen((event) => (event.kind !== "state" || event.isBack) && soon()) : () => {};
    return () => {
      over = true;
      clearTimeout(timer);
      stop();
    };
  }, inputs);
  return { ...loaded, again: () => again.current() };
}

export function Loaded({ of, children }) {
  if (of.value === undefined) return of.error ? html`<${Trouble} error=${of.error} />` : html`<${Busy} />`;
  return html`${of.error && html`<${Trouble} error=${of.error} />`}${children(of.value)}`;
}

/** A button that does something which may take a while or fail; `sure` asks before it. */
export function Act({ look = "", run, children, done, disabled, label, sure }) {
  const [busy, setBusy] = useState(false);
  const [isAsking, ask] = useState(false);
  const act = async () => {
    ask(false);
    setBusy(true);
    try {
      await run();
      if (done) toast(done);
    } catch (error) {
      toast(error.remedy ? `${error.message}: ${error.remedy}` : error.message, "bad");
    }
    setBusy(false);
  };
  return html`<button type="button" class=${`btn ${look}`} onClick=${sure ? () => ask(true) : act} disabled=${busy || disabled} aria-label=${label}>${children}</button>
    ${isAsking && html`<${Dialog} title=${sure.title} onClose=${() => ask(false)}><p>${sure.text}</p>
      <div class="row end"><button type="button" class="btn" onClick=${() => ask(false)}>No</button><button type="button" class="btn main" onClick=${act}>${sure.yes}</button></div><//>`}`;
}

export function Dialog({ title, onClose, children }) {
  const node = useRef();
  // The element goes away rather than closes, so the browser does not give the focus back.
  useEffect(() => {
    const before = document.activeElement;
    node.current.showModal();
    return () => before?.focus();
  }, []);
  return html`<dialog ref=${node} aria-label=${title} onClose=${onClose} onCancel=${onClose}>
    <div class="inner"><h2>${title}</h2>${children}</div>
  </dialog>`;
}

/** A field with its label, hint and what is wrong with it. */
export function Field({ label, hint, wrong, children, id }) {
  const about = [hint && `${id}-hint`, wrong && `${id}-wrong`].filter(Boolean).join(" ") || undefined;
  return html`<div>
    <label for=${id}>${label}</label>
    ${children({ id, "aria-describedby": about, "aria-invalid": wrong ? "true" : undefined })}
    ${hint && html`<p class="hint" id=${`${id}-hint`}>${hint}</p>`}
    ${wrong && html`<p class="wrong" id=${`${id}-wrong`}>${wrong}</p>`}
  </div>`;
}

export function Tabs({ of, now, onPick, label }) {
  return html`<div class="tabs" role="group" aria-label=${label}>
    ${of.map(([key, word]) => html`<button type="button" aria-pressed=${String(key === now)} onClick=${() => onPick(key)}>${word}</button>`)}
  </div>`;
}

let show = () => {};

/** Says something in passing. */
export function toast(text, look = "good") {
  show(text, look);
}

export function Toasts() {
  const [all, setAll] = useState([]);
  show = (text, look) => {
    const one = { id: unique(), text, look };
    setAll((old) => [...old.slice(-3), one]);
    setTimeout(() => setAll((old) => old.filter((other) => other.id !== one.id)), look === "bad" ? 12000 : 5000);
  };
  return html`<div class="toasts" role="status" aria-live="polite">${all.map((one) => html`<div key=${one.id} class=${`toast ${one.look}`}>${one.text}</div>`)}</div>`;
}

function copiedByCommand(text) {
  const give = (event) => {
    event.preventDefault();
    event.clipboardData.setData("text/plain", text);
  };
  document.addEventListener("copy", give);
  const isDone = document.execCommand("copy");
  document.removeEventListener("copy", give);
  return isDone;
}

export async function copy(text) {
  // Without https, and from another machine, browsers have nothing but the old way.
  if (navigator.clipboard) await navigator.clipboard.writeText(text);
  else if (!copiedByCommand(text)) throw new Error("This browser does not let it be copied: select it, and copy it by hand");
  toast("Copied");
}

/** What an account is called, of those by id. */
export const nameOf = (accounts, id) => accounts.get(id)?.name ?? "a removed account";

/** When something goes out next by some schedules, if anything does. */
export const nextOf = (schedules) => schedules.map((schedule) => schedule.next_run_at).filter(Boolean).sort()[0];

/** The first line of a post, for lists. */
export function gist(parts, most = 90) {
  const text = (parts?.[0]?.text ?? "").split("\n")[0];
  return text.length > most ? `${[...text].slice(0, most).join("")}…` : text || "(no text)";
}
