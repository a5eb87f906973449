import { all, get, keyring, mount, patch, post } from "../api.js";
import { html, useEffect, useMemo, useRef, useState } from "../dom.js";
import { Icon } from "../icons.js";
import { go, link } from "../route.js";
import { may } from "../session.js";
import { clock, here, isZone, localOf, moment } from "../time.js";
import { Badge, Block, Empty, Field, Head, Loaded, Tabs, Trouble, platformName, sentence, toast, useLoaded } from "../ui.js";

const KINDS = [["now", "Now"], ["once", "At a time"], ["again", "Again and again"], ["draft", "Draft"]];
const UNKNOWN_ZONE = "A name like Europe/Berlin";
const DAYS = [["1", "Mon"], ["2", "Tue"], ["3", "Wed"], ["4", "Thu"], ["5", "Fri"], ["6", "Sat"], ["0", "Sun"]];

function fresh(query) {
  const at = query.get("at");
  return {
    parts: [{ text: "" }],
    variants: {},
    accounts: [],
    kind: at ? "once" : "now",
    at: at ?? localOf(Date.now() + 3600e3),
    tz: here,
    days: ["1", "2", "3", "4", "5"],
    time: "09:00",
  };
}

/** It has no time yet; its accounts, if it has any, are kept in a schedule without one. */
const isDraft = (old) => old.schedules.every((one) => one.schedule.kind === "unset");

/** The form for a post that is there: to edit it, or to write another like it. */
function filled(old, isCopy, query) {
  const form = { ...fresh(query), parts: old.parts, variants: old.variants, accounts: [...new Set(old.schedules.flatMap((one) => one.accounts))] };
  if (isCopy) return form;
  const [only] = old.schedules;
  if (isDraft(old)) return { ...form, kind: "draft" };
  const canMove = old.schedules.length === 1 && only.schedule.kind === "one_shot" && only.next_run_at;
  if (!canMove) return { ...form, kind: "kept" };
  const tz = only.tz ?? here;
  return { ...form, kind: "once", tz, at: localOf(only.next_run_at, tz) };
}

/** The rule that the form means; none for a draft. */
function rule(form) {
  if (form.kind === "draft" || form.kind === "kept") return undefined;
  if (form.kind === "now") return { kind: "now" };
  if (form.kind === "once") return { kind: "one_shot", at: form.at, tz: form.tz };
  const [hour, minute] = form.time.split(":").map(Number);
  const days = form.days.length === 7 ? "*" : form.days.join(",");
  return { kind: "cron", expr: `${minute} ${hour} * * ${days}`, tz: form.tz };
}

function written(form, names) {
  const isKept = (part, n) => n === 0 || part.text.trim() || part.media?.length;
  const variants = Object.fromEntries(Object.entries(form.variants).map(([platform, parts]) => [platform, parts.filter(isKept)]));
  return {
    parts: form.parts.filter(isKept),
    ...(Object.keys(variants).length ? { variants } : {}),
    accounts: names,
    ...(rule(form) ? { schedule: rule(form) } : {}),
  };
}

export function Compose({ query }) {
  const id = query.get("post") ?? query.get("copy");
  const isCopy = query.has("copy");
  const loaded = useLoaded(async () => {
    const [accounts, old] = await Promise.all([all("/accounts"), id ? get(`/posts/${id}`) : undefined]);
    return { accounts, old };
  }, [], { live: false });
  const head = html`<${Head} title=${id && !isCopy ? "Edit" : "Compose"} />`;
  if (!may("write")) return html`${head}<${Empty} title="Your token may look, and change nothing" icon="compose"><p>To write, sign in with a token of the scope write: <code>postqd token create --scope write --name NAME</code></p><//>`;
  return html`${head}
    <${Loaded} of=${loaded}>${({ accounts, old }) => accounts.length === 0
      ? html`<${Empty} title="First, an account" icon="accounts"><p>A post goes to accounts. A dry run sends nothing, and is good for a first try.</p><a class="btn main" ...${link("/accounts")}>Connect an account</a><//>`
      : html`<${Form} accounts=${accounts} old=${isCopy ? undefined : old} start=${old ? filled(old, isCopy, query) : undefined} query=${query} />`}<//>`;
}

/** Hands in what was written: a new post, or the change of one that is there. */
async function handIn(form, body, old, key) {
  if (!old) return post("/posts", body, { key });
  const isNew = JSON.stringify([form.parts, form.variants]) !== JSON.stringify([old.parts, old.variants]);
  if (isNew) {
    const { tag } = await patch(`/posts/${old.id}`, { parts: body.parts, variants: body.variants ?? {} }, { tag: old.tag });
    // What follows may fail, and all is handed in again.
    Object.assign(old, { parts: form.parts, variants: form.variants, tag });
  }
  const [only] = old.schedules;
  const change = { accounts: body.accounts, ...(body.schedule ? { schedule: body.schedule, enabled: true } : {}) };
  if (only && form.kind !== "kept") await patch(`/schedules/${only.id}`, change, { tag: `"${only.revision}"` });
  else if (!only && body.schedule) await post("/schedules", { post_id: old.id, accounts: body.accounts, schedule: body.schedule }, { key });
  return old;
}

const SAID = { now: "It goes out now", once: "It is scheduled", again: "It is scheduled", draft: "The draft is kept", kept: "The text is changed" };
const DO = { now: "Publish now", once: "Schedule", again: "Schedule", draft: "Keep the draft", kept: "Save" };

/** What one may choose of the time: all, but for a post that has its time. */
function kinds(old) {
  return !old || isDraft(old) ? KINDS : KINDS.filter(([kind]) => kind === "once");
}

/** What is still to be done before it can be handed in. */
function missing(form, names, blank, violations, problems) {
  if (!["draft", "kept"].includes(form.kind) && !names.length) return "Choose an account";
  if (blank) return "Write a text";
  if (violations.length > 0) return `Mend what ${[...new Set(violations.map((one) => platformName(one.platform)))].join(" and ")} would not take`;
  return problems.length > 0 && names.length > 0 ? sentence(problems[0].message) : "";
}

/** Where this tab keeps what is being written, until it is handed in: a sign-in in between loses nothing. */
const place = (query) => `compose ${mount} ${query}`;

/** What was being written here before, of the same state of the post. */
function keptBefore(query, old) {
  const kept = JSON.parse(sessionStorage.getItem(place(query)) ?? "null");
  return kept?.revision === old?.revision ? kept?.form : undefined;
}

function Form({ accounts, old, start, query }) {
  const [before, setBefore] = useState(() => keptBefore(query, old));
  const [form, setForm] = useState(() => before ?? start ?? { ...fresh(query), accounts: accounts.length === 1 ? [accounts[0].id] : [] });
  const [tab, setTab] = useState("all");
  const [error, setError] = useState();
  const [busy, setBusy] = useState(false);
  const key = useRef(keyring());
  const first = useRef(form);
  const set = (change) => setForm((old) => ({ ...old, ...change }));
  useEffect(() => {
    if (form !== first.current) sessionStorage.setItem(place(query), JSON.stringify({ form, revision: old?.revision }));
  }, [form]);
  const startOver = () => {
    sessionStorage.removeItem(place(query));
    setBefore();
    first.current = start ?? fresh(query);
    setForm(first.current);
  };
  const chosen = accounts.filter((account) => form.accounts.includes(account.id));
  const platforms = [...new Set(chosen.map((account) => account.platform))];
  const names = chosen.map((account) => account.id);
  const body = useMemo(() => written(form, names), [form]);
  const preview = usePreview(body);
  const texts = tab === "all" ? form.parts : form.variants[tab] ?? form.parts;
  const setTexts = (next) => (tab === "all" ? set({ parts: next }) : set({ variants: { ...form.variants, [tab]: next } }));
  const problems = preview.value?.errors ?? [];
  const violations = (preview.value?.platforms ?? []).flatMap((one) => one.violations.map((violation) => ({ ...violation, platform: one.platform })));
  const blank = form.parts.every((part) => !part.text.trim() && !part.media?.length);
  const stop = blank || (!["draft", "kept"].includes(form.kind) && !names.length) || violations.length > 0;
  const submit = async (event) => {
    event.preventDefault();
    setBusy(true);
    try {
      const made = await handIn(form, body, old, key.current.of([body, old?.id]));
      sessionStorage.removeItem(place(query));
      toast(SAID[form.kind]);
      const jobs = form.kind === "now" ? await get("/jobs", { post: made.id, limit: 2 }).catch(() => ({ items: [] })) : { items: [] };
      go(jobs.items.length === 1 ? `/jobs/${jobs.items[0].id}` : `/posts/${made.id}`);
    } catch (problem) {
      key.current.answered(problem);
      setError(problem);
      setBusy(false);
    }
  };
  return html`<form class="compose" onSubmit=${submit}>
    <div class="stack wide">
      ${before && html`<p class="row small muted"><span class="space">This is what you wrote here before.</span><button type="button" class="btn small" onClick=${startOver}>Start over</button></p>`}
      <fieldset class="card"><legend class="label">To</legend><div class="picks">${accounts.map((account) => html`<label class="check" key=${account.id}>
        <input type="checkbox" checked=${form.accounts.includes(account.id)} disabled=${form.kind === "kept"} onChange=${(event) => set({ accounts: event.target.checked ? [...form.accounts, account.id] : form.accounts.filter((id) => id !== account.id) })} />
        ${account.name} <span class="muted small">${platformName(account.platform)}</span>${account.blocks.length > 0 && html`<${Block} of=${{ ...account.blocks[0], until: null }} />`}</label>`)}</div></fieldset>
      <div class="card stack">
        ${(platforms.length > 1 || platforms.some((name) => form.variants[name])) && html`<${Tabs} label="Text for" of=${[["all", "All platforms"], ...platforms.map((name) => [name, form.variants[name] ? `${platformName(name)} (own text)` : platformName(name)])]} now=${tab} onPick=${setTab} />`}
        ${tab !== "all" && !form.variants[tab] && html`<p class="small muted">The same as for all; type to give ${platformName(tab)} a text of its own.</p>`}
        ${texts.map((part, n) => html`<${Part} key=${`${tab} ${n}`} n=${n} of=${texts.length} part=${part} wrong=${violations.filter((one) => one.part === n && (tab === "all" || one.platform === tab))}
          counts=${counts(preview.value, n, tab)}
          onText=${(text) => setTexts(texts.map((one, at) => (at === n ? { ...one, text } : one)))} onGone=${() => setTexts(texts.filter((_, at) => at !== n))} />`)}
        <div class="row"><button type="button" class="btn small" onClick=${() => setTexts([...texts, { text: "" }])}><${Icon} name="plus" />Add to the thread</button>
          ${tab !== "all" && form.variants[tab] && html`<button type="button" class="btn small" onClick=${() => set({ variants: Object.fromEntries(Object.entries(form.variants).filter(([name]) => name !== tab)) })}>Same as for all</button>`}</div>
      </div>
      <fieldset class="card stack"><legend class="label">When</legend>
        ${form.kind !== "kept" && html`<${Tabs} label="When" of=${kinds(old)} now=${form.kind} onPick=${(kind) => set({ kind })} />`}
        ${form.kind === "once" && html`<div class="fields"><${Field} id="at" label="Date and time">${(about) => html`<input ...${about} type="datetime-local" required value=${form.at} onInput=${(event) => set({ at: event.target.value })} />`}<//><${Zone} form=${form} set=${set} /></div>`}
        ${form.kind === "again" && html`<div class="fields"><${Field} id="time" label="At">${(about) => html`<input ...${about} type="time" required value=${form.time} onInput=${(event) => set({ time: event.target.value })} />`}<//><${Zone} form=${form} set=${set} /></div>
          <div class="row" role="group" aria-label="Days">${DAYS.map(([day, word]) => html`<label class="check"><input type="checkbox" checked=${form.days.includes(day)} onChange=${(event) => set({ days: event.target.checked ? [...form.days, day].sort() : form.days.filter((other) => other !== day) })} />${word}</label>`)}</div>`}
        <${Occurrences} form=${form} preview=${preview} />
      </fieldset>
      <${Trouble} error=${error} />
      <div class="row end"><span class="small muted grow right" role="status" id="missing">${missing(form, names, blank, violations, problems)}</span>
        <button class="btn main" aria-describedby="missing" disabled=${busy || stop}>${busy ? "Handing in…" : DO[form.kind]}</button></div>
    </div>
    <aside class="stack" aria-label="Preview"><h2>Preview</h2>
      ${preview.error && html`<${Trouble} error=${preview.error} />`}
      ${!preview.value ? html`<p class="muted">Choose an account and write: here is what each platform gets.</p>` : preview.value.platforms.map((one) => html`<${Shown} key=${one.platform} of=${one} />`)}
    </aside>
  </form>`;
}

function Zone({ form, set }) {
  const zones = useMemo(() => Intl.supportedValuesOf("timeZone"), []);
  const [typed, setTyped] = useState(form.tz);
  const input = (event) => {
    const tz = event.target.value.trim();
    setTyped(event.target.value);
    event.target.setCustomValidity(isZone(tz) ? "" : UNKNOWN_ZONE);
    // A zone that is half typed means nothing yet.
    set({ tz: isZone(tz) ? tz : undefined });
  };
  return html`<${Field} id="tz" label="Time zone" wrong=${!form.tz && UNKNOWN_ZONE}>${(about) => html`<input ...${about} list="zones" required value=${typed} onInput=${input} /><datalist id="zones">${zones.map((zone) => html`<option value=${zone} />`)}</datalist>`}<//>`;
}

/** How long a part is for each platform that counts it. */
function counts(preview, n, tab) {
  return (preview?.platforms ?? [])
    .filter((one) => tab === "all" || one.platform === tab)
    .map((one) => ({ platform: one.platform, ...(one.lengths?.[n] ?? {}) }))
    .filter((one) => one.limit);
}

function Part({ n, of, part, wrong, counts, onText, onGone }) {
  const id = `part-${n}`;
  return html`<div>
    <div class="row"><label class="grow" for=${id}>${of > 1 ? `Part ${n + 1} of ${of}` : "Text"}</label>
      ${of > 1 && html`<button type="button" class="btn quiet small" onClick=${onGone} aria-label=${`Remove part ${n + 1}`}>Remove</button>`}</div>
    <textarea id=${id} dir="auto" rows=${of > 1 ? 3 : 6} value=${part.text} onInput=${(event) => onText(event.target.value)} aria-invalid=${wrong.length ? "true" : undefined} aria-describedby=${`${id}-about`}></textarea>
    <div id=${`${id}-about`} aria-live="polite"><p class="hint counts">${counts.map((one) => html`<span class=${one.length > one.limit ? "wrong" : ""}>${platformName(one.platform)} ${one.length} / ${one.limit}</span>`)}</p>
      ${wrong.map((one) => html`<p class="wrong">${platformName(one.platform)}: ${one.message}</p>`)}</div>
  </div>`;
}

const HINTS = {
  now: "It goes out as soon as it is handed in.",
  draft: "It is kept among the posts until you give it a time.",
  kept: "Its accounts and its times stay as they are. What is out stays too; what is to come says this from now on.",
};

function Occurrences({ form, preview }) {
  const times = preview.value?.occurrences ?? [];
  const [words, setWords] = useState("");
  const asked = form.kind === "again" && form.tz && form.time && form.days.length ? rule(form) : undefined;
  useEffect(() => {
    let over = false;
    if (!asked) setWords("");
    else post("/preview", { kind: "cron", expr: asked.expr, tz: asked.tz, count: 1 }).then((shown) => !over && setWords(shown.explanation), () => !over && setWords(""));
    return () => {
      over = true;
    };
  }, [asked && `${asked.expr} ${asked.tz}`]);
  const skipped = form.kind === "once" && preview.asked === form.at && form.tz && times.length > 0 && localOf(times[0], form.tz) !== form.at.slice(0, 16);
  if (HINTS[form.kind]) return html`<p class="hint">${HINTS[form.kind]}</p>`;
  return html`<div aria-live="polite">${words && html`<p>${sentence(words)}</p>`}
    ${skipped && html`<p class="note warn"><span>The clocks go forward there: ${clock(`${form.at.slice(0, 16)}Z`, "UTC")} does not come that day. It goes out at ${clock(times[0], form.tz)}.</span></p>`}
    ${times.length > 0 && html`<ol class=${`times ${times.length === 1 ? "one" : ""}`}>${times.slice(0, 5).map((at) => html`<li><time datetime=${at}>${moment(at, form.tz)}</time>${form.tz !== here && html` <span class="muted small">here ${moment(at)}</span>`}</li>`)}</ol>`}</div>`;
}

function Shown({ of }) {
  return html`<section class="card stack" aria-label=${platformName(of.platform)}><div class="row"><h3 class="grow">${platformName(of.platform)}</h3><span class="small muted">${of.accounts.join(", ")}</span></div>
    ${of.parts.map((part, n) => html`<div class="bubble">${of.parts.length > 1 && html`<span class="small muted">${n + 1}/${of.parts.length}</span>`}<p class="text" dir="auto">${part.text || html`<span class="muted">(no text)</span>`}</p></div>`)}
    ${of.violations.length === 0 ? html`<${Badge} look="good"><${Icon} name="out" />Would be taken<//>` : of.violations.map((one) => html`<p class="wrong">${sentence(one.message)}</p>`)}</section>`;
}

/** What the platforms say of it, a moment after the last key. */
function usePreview(body) {
  const [state, setState] = useState({});
  useEffect(() => {
    if (!body.accounts.length || body.parts.every((part) => !part.text.trim())) {
      setState({});
      return undefined;
    }
    let over = false;
    const timer = setTimeout(() => {
      post("/posts/preview", body).then((value) => !over && setState({ value, asked: body.schedule?.at }), (error) => !over && setState((old) => ({ ...old, error })));
    }, 250);
    return () => {
      over = true;
      clearTimeout(timer);
    };
  }, [JSON.stringify(body)]);
  return state;
}
