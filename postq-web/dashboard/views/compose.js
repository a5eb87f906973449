import { all, get, keyring, mount, patch, pause, post, remove, unique } from "../api.js";
import { html, useEffect, useMemo, useRef, useState } from "../dom.js";
import { Icon } from "../icons.js";
import { Attached } from "../media.js";
import { go, link } from "../route.js";
import { may } from "../session.js";
import { here, localOf, moment } from "../time.js";
import { Badge, Block, Empty, Head, Loaded, Tabs, Trouble, platformName, sentence, toast, useLoaded } from "../ui.js";
import { Cost } from "./cost.js";
import { Options, inFields, optionOf, typed } from "./options.js";
import { Part, useUploads } from "./part.js";
import { KINDS, When, isPlaced, rule, usePlaces } from "./when.js";

/** A job is looked for so often, with so long in between. */
const MOST_LOOKS = 20;
const BETWEEN_LOOKS = 250;

function fresh(query) {
  const at = query.get("at");
  return {
    parts: [{ text: "" }],
    variants: {},
    options: {},
    fit: "",
    accounts: [],
    kind: at ? "once" : "now",
    at: at ?? localOf(Date.now() + 3600e3),
    tz: here,
    days: ["1", "2", "3", "4", "5"],
    time: "09:00",
  };
}

/** The parts as the form has them: each file with a key of its own, whichever place it moves to. */
const keyed = (parts) => parts.map((part) => (part.media ? { ...part, media: part.media.map((one) => ({ ...one, key: unique() })) } : part));

/** The parts of each variant, changed. */
const each = (variants, change) => Object.fromEntries(Object.entries(variants).map(([platform, parts]) => [platform, change(parts)]));

/** It has no time yet; its accounts, if it has any, are kept in a schedule without one. */
const isDraft = (old) => old.schedules.every((one) => one.schedule.kind === "unset");

/** The variants that somebody wrote: what was made of the text to fit is made again of what it says then. */
const own = (post) => Object.fromEntries(Object.entries(post.variants).filter(([platform]) => !post.fitted[platform]));

/** The form for a post that is there: to edit it, or to write another like it. */
function filled(old, isCopy, query) {
  const form = { ...fresh(query), parts: keyed(old.parts), variants: each(own(old), keyed), fit: Object.values(old.fitted).sort().at(-1) ?? "", options: inFields(old.options), accounts: [...new Set(old.schedules.flatMap((one) => one.accounts))] };
  if (isCopy) return form;
  const [only] = old.schedules;
  if (isDraft(old)) return { ...form, kind: "draft" };
  const canMove = old.schedules.length === 1 && only.schedule.kind === "one_shot" && only.next_run_at;
  if (!canMove) return { ...form, kind: "kept" };
  const tz = only.tz ?? here;
  return { ...form, kind: "once", tz, at: localOf(only.next_run_at, tz) };
}

/** A part as the API takes it: a file that is not there yet is left out. */
function plain({ text, media }) {
  const there = (media ?? []).filter((one) => one.source).map(({ source, alt }) => (alt?.trim() ? { source, alt: alt.trim() } : { source }));
  return there.length ? { text, media: there } : { text };
}

/** What is written, without what is empty. */
function content({ parts, variants }) {
  const isKept = (part, n) => n === 0 || part.text.trim() || part.media;
  const kept = (all) => all.map(plain).filter(isKept);
  return { parts: kept(parts), variants: each(variants, kept) };
}

function written(form, chosen, abilities) {
  // What is for a platform that was given up again stays in the form alone.
  const isChosen = ([platform]) => !chosen.length || chosen.some((account) => account.platform === platform);
  const meant = (all) => Object.fromEntries(Object.entries(all).filter(isChosen));
  const { parts, variants } = content({ ...form, variants: meant(form.variants) });
  const options = typed(meant(form.options), abilities);
  return {
    parts,
    ...(Object.keys(variants).length ? { variants } : {}),
    ...(Object.keys(options).length ? { options } : {}),
    ...(form.fit ? { fit: form.fit } : {}),
    accounts: chosen.map((account) => account.id),
    ...(rule(form) ? { schedule: rule(form) } : {}),
  };
}

export function Compose({ query }) {
  const id = query.get("post") ?? query.get("copy");
  const isCopy = query.has("copy");
  const loaded = useLoaded(async () => {
    const [accounts, platforms, old] = await Promise.all([all("/accounts"), get("/platforms"), id ? get(`/posts/${id}`) : undefined]);
    return { accounts, abilities: platforms.items, old };
  }, [], { live: false });
  const head = html`<${Head} title=${id && !isCopy ? "Edit" : "Compose"} />`;
  if (!may("write")) return html`${head}<${Empty} title="Your token may look, and change nothing" icon="compose"><p>To write, sign in with a token of the scope write: <code>postqd token create --scope write --name NAME</code></p><//>`;
  return html`${head}
    <${Loaded} of=${loaded}>${({ accounts, abilities, old }) => accounts.length === 0
      ? html`<${Empty} title="First, an account" icon="accounts"><p>A post goes to accounts. A dry run sends nothing, and is good for a first try.</p><a class="btn main" ...${link("/accounts")}>Connect an account</a><//>`
      : html`<${Form} accounts=${accounts} abilities=${abilities} old=${isCopy ? undefined : old} start=${old ? filled(old, isCopy, query) : undefined} query=${query} />`}<//>`;
}

/** Gives a post that is there another content, if that is another one. */
async function rewrite(body, old) {
  const { parts, variants = {}, options = {}, fit } = body;
  const there = { ...content({ parts: old.parts, variants: own(old) }), options: old.options, fit: Object.values(old.fitted).sort().at(-1) };
  if (JSON.stringify({ parts, variants, options, fit }) === JSON.stringify(there)) return;
  const changed = await patch(`/posts/${old.id}`, { parts, variants, options, fit }, { tag: old.tag });
  // What follows may fail, and all is handed in again.
  Object.assign(old, changed);
}

/** Hands in what was written: a new post, or the change of one that is there. */
async function handIn(form, body, old, key) {
  if (isPlaced(form.kind) && (old || body.accounts.length > 1)) return handInPlaced(body, old, key);
  if (!old) return post("/posts", body, { key });
  await rewrite(body, old);
  const [only] = old.schedules;
  const change = { accounts: body.accounts, ...(body.schedule ? { schedule: body.schedule, enabled: true } : {}) };
  if (only && form.kind !== "kept") await patch(`/schedules/${only.id}`, change, { tag: `"${only.revision}"` });
  else if (!only && body.schedule) await post("/schedules", { post_id: old.id, accounts: body.accounts, schedule: body.schedule }, { key });
  return old;
}

/** A post whose accounts have a time of their own each: it has a schedule for each. */
async function handInPlaced({ schedule, ...body }, old, key) {
  if (old) await rewrite(body, old);
  // What is made to fit is so for the platforms of its accounts: then it needs them from the start.
  const made = old ?? (await post("/posts", body.fit ? body : { ...body, accounts: [] }, { key }));
  const results = [];
  for (const [n, account] of body.accounts.entries()) {
    results.push(await post("/schedules", { post_id: made.id, accounts: [account], schedule }, { key: `${key}-${n}` }).catch((problem) => ({ problem })));
  }
  const problem = results.find((one) => one.problem)?.problem;
  // It is there from here on, and handing it in once more would make a second one.
  if (problem) return { ...made, problem };
  // What a draft kept its accounts in is in nobody's way if it stays.
  for (const draft of made.schedules ?? []) await remove(`/schedules/${draft.id}`).catch(() => {});
  return { ...made, schedules: results };
}

/** Where it goes on: the page of a job that is planned in a moment; of the post where nobody plans it so soon. */
async function goingOut(post) {
  for (let looks = 0; looks < MOST_LOOKS; looks += 1) {
    const jobs = await get("/jobs", { post, limit: 1 }).catch(() => undefined);
    if (!jobs) break;
    if (jobs.items.length > 0) return `/jobs/${jobs.items[0].id}`;
    await pause(BETWEEN_LOOKS);
  }
  return `/posts/${post}`;
}

/** What a person is told once it is handed in. */
function said(form, made) {
  const [only, ...more] = made.schedules ?? [];
  return isPlaced(form.kind) && only && !more.length ? `It goes out ${moment(only.next_run_at)}` : SAID[form.kind];
}

const SAID = { now: "It goes out now", once: "It is scheduled", slot: "It is scheduled", best: "It is scheduled", again: "It is scheduled", draft: "The draft is kept", kept: "The text is changed" };
const DO = { now: "Publish now", once: "Schedule", slot: "Schedule", best: "Schedule", again: "Schedule", draft: "Keep the draft", kept: "Save" };

/** Whether a text is too long for a platform, or was. */
const isLong = (preview) => (preview?.platforms ?? []).some((one) => one.notice || one.lengths.some((told) => told && told.length > told.limit));

/** What is done with a text that is too long. */
const FITS = [["", "Refuse it"], ["shorten", "Shorten it"], ["thread", "Split it to a thread"]];

const FIT_HINTS = {
  "": "Write less, give that platform a text of its own, or let it be made to fit.",
  shorten: "Its end is left out, after a sentence or a word. A link at its end stays, with the hashtags after it.",
  thread: "It is split between sentences or words, and shortened where a platform has no threads.",
};

/** What one may choose of the time: all, but for a post that has its time. */
function kinds(old) {
  return !old || isDraft(old) ? KINDS : KINDS.filter(([kind]) => kind === "once");
}

const BOTH = new Intl.ListFormat("en-GB", { type: "conjunction" });

/** Whether options may say all that there is, as a title on Reddit: the platform tells if that will not do. */
const says = (form) => form.parts.length === 1 && Object.values(form.options).some((own) => Object.values(own).some((value) => String(value).trim()));

/** What is still to be done before it can be handed in; nothing if it can. */
function missing(form, { media, uploads, places, violations, problems }) {
  const hasAccounts = form.accounts.length > 0;
  if (!["draft", "kept"].includes(form.kind) && !hasAccounts) return "Choose an account";
  if (form.parts.every((part) => !part.text.trim() && !part.media?.length) && !says(form)) return "Write a text";
  const absent = media.filter((one) => !one.source);
  if (absent.some((one) => !uploads.has(one.key) || uploads.get(one.key).error)) return "Remove the file that did not come through, or send it again";
  if (absent.length > 0) return "Wait until the files are there";
  if (violations.length > 0) return `Mend what ${BOTH.format([...new Set(violations.map((one) => platformName(one.platform)))])} would not take`;
  if (isPlaced(form.kind) && !places.value) return "Wait until a time is found";
  if (isPlaced(form.kind) && places.value.some((one) => !one.at)) return "Choose another time, or only accounts that have one";
  return problems.length > 0 && hasAccounts ? sentence(problems[0].message) : "";
}

/** Where this tab keeps what is being written, until it is handed in: a sign-in in between loses nothing. */
const place = (query) => `compose ${mount} ${query}`;

/** The form without what only this page knows: files that are not there yet. */
function sent(form) {
  const kept = (parts) => parts.map((part) => (part.media ? { ...part, media: part.media.filter((one) => one.source) } : part));
  return { ...form, parts: kept(form.parts), variants: each(form.variants, kept) };
}

/** What was being written here before, of the same state of the post. */
function keptBefore(query, old) {
  const kept = JSON.parse(sessionStorage.getItem(place(query)) ?? "null");
  return kept?.revision === old?.revision && kept ? { ...fresh(query), ...kept.form } : undefined;
}

function Form({ accounts, abilities, old, start, query }) {
  const [before, setBefore] = useState(() => keptBefore(query, old));
  const [form, setForm] = useState(() => before ?? start ?? { ...fresh(query), accounts: accounts.length === 1 ? [accounts[0].id] : [] });
  const [tab, setTab] = useState("all");
  const [error, setError] = useState();
  const [busy, setBusy] = useState(false);
  const key = useRef(keyring());
  const first = useRef(form);
  const set = (change) => setForm((old) => ({ ...old, ...change }));
  useEffect(() => {
    if (form !== first.current) sessionStorage.setItem(place(query), JSON.stringify({ form: sent(form), revision: old?.revision }));
  }, [form]);
  const startOver = () => {
    sessionStorage.removeItem(place(query));
    setBefore();
    first.current = start ?? fresh(query);
    setForm(first.current);
  };
  const chosen = accounts.filter((account) => form.accounts.includes(account.id));
  const platforms = [...new Set(chosen.map((account) => account.platform))];
  const body = useMemo(() => written(form, chosen, abilities), [form]);
  const preview = usePreview(body, old?.id);
  const places = usePlaces(form, chosen);
  const texts = tab === "all" ? form.parts : form.variants[tab] ?? form.parts;
  const setTexts = (change) => setForm((old) => (tab === "all" ? { ...old, parts: change(old.parts) } : { ...old, variants: { ...old.variants, [tab]: change(old.variants[tab] ?? old.parts) } }));
  const uploads = useUploads((key, change) => setForm((old) => {
    const changed = (parts) => parts.map((part) => (part.media ? { ...part, media: part.media.map((one) => (one.key === key ? change(one) : one)) } : part));
    return { ...old, parts: changed(old.parts), variants: each(old.variants, changed) };
  }));
  useEffect(keepFiles, []);
  const media = [form.parts, ...Object.values(form.variants)].flat().flatMap((part) => part.media ?? []);
  const problems = preview.value?.errors ?? [];
  const violations = (preview.value?.platforms ?? []).flatMap((one) => one.violations.map((violation) => ({ ...violation, platform: one.platform })));
  const toDo = missing(form, { media, uploads: uploads.all, places, violations, problems });
  const submit = async (event) => {
    event.preventDefault();
    setBusy(true);
    try {
      const made = await handIn(form, body, old, key.current.of([body, old?.id]));
      sessionStorage.removeItem(place(query));
      if (made.problem) toast(`Not every account has a time: ${made.problem.message}`, "bad");
      else toast(said(form, made));
      const from = location.href;
      const next = form.kind === "now" && body.accounts.length === 1 ? await goingOut(made.id) : `/posts/${made.id}`;
      // Whoever has gone elsewhere meanwhile stays there.
      if (location.href === from) go(next);
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
        ${texts.map((part, n) => html`<${Part} key=${`${tab} ${n}`} n=${n} of=${texts.length} part=${part} wrong=${violations.filter((one) => one.part === n && !optionOf(one) && (tab === "all" || one.platform === tab))}
          counts=${counts(preview.value, n, tab)}
          uploads=${uploads} onChange=${(change) => setTexts((all) => all.map((one, at) => (at === n ? change(one) : one)))} onGone=${() => setTexts((all) => all.filter((_, at) => at !== n))} />`)}
        <div class="row"><button type="button" class="btn small" onClick=${() => setTexts((all) => [...all, { text: "" }])}><${Icon} name="plus" />Add to the thread</button>
          ${tab !== "all" && form.variants[tab] && html`<button type="button" class="btn small" onClick=${() => set({ variants: Object.fromEntries(Object.entries(form.variants).filter(([name]) => name !== tab)) })}>Same as for all</button>`}</div>
      </div>
      ${(form.fit || isLong(preview.value)) && html`<${Fit} now=${form.fit} wrong=${form.fit && problems.find((one) => one.field === "fit")} onPick=${(fit) => set({ fit })} />`}
      <${Options} abilities=${abilities} chosen=${platforms} values=${form.options} wrong=${violations} onChange=${(options) => set({ options })} />
      <${When} form=${form} set=${set} kinds=${kinds(old)} preview=${preview} places=${places} />
      <${Trouble} error=${error} />
      <div class="row end"><span class="small muted grow right" role="status" id="missing">${toDo}</span>
        <button class="btn main" aria-describedby="missing" disabled=${busy || toDo !== ""}>${busy ? "Handing in…" : DO[form.kind]}</button></div>
    </div>
    <aside class="stack" aria-label="Preview"><h2>Preview</h2>
      ${preview.error && html`<${Trouble} error=${preview.error} />`}
      ${!preview.value ? html`<p class="muted">Choose an account and write: here is what each platform gets.</p>` : preview.value.platforms.map((one) => html`<${Shown} key=${one.platform} of=${one} />`)}
      <${Cost} of=${preview.value?.cost} />
    </aside>
  </form>`;
}

/** A file that is dropped beside its place would be shown in place of this page. */
function keepFiles() {
  const keep = (event) => {
    if (!event.defaultPrevented && [...event.dataTransfer.types].includes("Files")) event.preventDefault();
  };
  addEventListener("dragover", keep);
  addEventListener("drop", keep);
  return () => {
    removeEventListener("dragover", keep);
    removeEventListener("drop", keep);
  };
}

/** How long a part is for each platform that counts it. */
function counts(preview, n, tab) {
  return (preview?.platforms ?? [])
    .filter((one) => tab === "all" || one.platform === tab)
    .map((one) => ({ platform: one.platform, ...(one.lengths?.[n] ?? {}) }))
    .filter((one) => one.limit);
}

function Shown({ of }) {
  return html`<section class="card stack" aria-label=${platformName(of.platform)}><div class="row"><h3 class="grow">${platformName(of.platform)}</h3><span class="small muted">${of.accounts.join(", ")}</span></div>
    ${of.parts.map((part, n) => html`<div class="bubble">${of.parts.length > 1 && html`<span class="small muted">${n + 1}/${of.parts.length}</span>`}<p class="text" dir="auto">${part.text || html`<span class="muted">(no text)</span>`}</p><${Attached} media=${part.media} /></div>`)}
    ${of.notice && html`<p class="note"><span>${sentence(of.notice)}</span></p>`}
    ${of.advice?.length > 0 && html`<details><summary>To read before posting (${of.advice.length})</summary><ul class="rows">${of.advice.map((line) => html`<li class="small" dir="auto">${line}</li>`)}</ul></details>`}
    ${of.violations.length === 0 ? html`<${Badge} look="good"><${Icon} name="out" />Would be taken<//>` : of.violations.map((one) => html`<p class="wrong">${sentence(one.message)}</p>`)}</section>`;
}

/** What is done with a text that is too long, chosen where one is. */
function Fit({ now, wrong, onPick }) {
  return html`<fieldset class="card stack"><legend class="label">A text that is too long for a platform</legend>
    <${Tabs} label="A text that is too long" of=${FITS} now=${now} onPick=${onPick} />
    ${wrong ? html`<p class="wrong">${sentence(wrong.message)}</p>` : html`<p class="hint">${FIT_HINTS[now]} The preview shows what comes of it.</p>`}</fieldset>`;
}

/** What the platforms say of it, a moment after the last key. A time that is found by the account is looked for elsewhere. */
function usePreview(body, id) {
  const [state, setState] = useState({});
  const asked = ["next_slot", "best"].includes(body.schedule?.kind) ? { ...body, schedule: undefined } : body;
  useEffect(() => {
    const says = asked.parts.length === 1 && Object.keys(asked.options ?? {}).length > 0;
    if (!asked.accounts.length || (!says && asked.parts.every((part) => !part.text.trim() && !part.media))) {
      setState({});
      return undefined;
    }
    let over = false;
    const timer = setTimeout(() => {
      post(id ? `/posts/${id}/preview` : "/posts/preview", asked).then((value) => !over && setState({ value, asked: asked.schedule?.at }), (error) => !over && setState((old) => ({ ...old, error })));
    }, 250);
    return () => {
      over = true;
      clearTimeout(timer);
    };
  }, [JSON.stringify(asked)]);
  return state;
}
