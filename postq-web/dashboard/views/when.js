// When a post goes out: now, at a time, in a slot, at a good hour, again and again.

import { get, post } from "../api.js";
import { html, useEffect, useMemo, useState } from "../dom.js";
import { link } from "../route.js";
import { clock, here, isZone, localOf, moment, parts, weekdayName } from "../time.js";
import { Busy, Field, Tabs, Trouble, sentence, useLoaded } from "../ui.js";

export const KINDS = [["now", "Now"], ["once", "At a time"], ["slot", "Next free slot"], ["best", "Best time"], ["again", "Again and again"], ["draft", "Draft"]];
const UNKNOWN_ZONE = "A name like Europe/Berlin";
const DAYS = [["1", "Mon"], ["2", "Tue"], ["3", "Wed"], ["4", "Thu"], ["5", "Fri"], ["6", "Sat"], ["0", "Sun"]];

/** Whether the time is found by the account: each has its own. */
export const isPlaced = (kind) => kind === "slot" || kind === "best";

/** The rule that the form means; none for a draft. */
export function rule(form) {
  if (form.kind === "draft" || form.kind === "kept") return undefined;
  if (form.kind === "now") return { kind: "now" };
  if (form.kind === "slot") return { kind: "next_slot" };
  if (form.kind === "best") return { kind: "best", tz: form.tz };
  if (form.kind === "once") return { kind: "one_shot", at: form.at, tz: form.tz };
  const [hour, minute] = form.time.split(":").map(Number);
  const days = form.days.length === 7 ? "*" : form.days.join(",");
  return { kind: "cron", expr: `${minute} ${hour} * * ${days}`, tz: form.tz };
}

/** Where the accounts would find a time, if they look for one: `[{account, at, why}]`. */
export function usePlaces({ kind, tz }, accounts) {
  const ids = accounts.map((account) => account.id).join(" ");
  const loaded = useLoaded(() => Promise.all(!isPlaced(kind) || !tz ? [] : accounts.map(kind === "slot" ? slotOf : (account) => bestOf(account, tz))), [kind, kind === "best" && tz, ids], { within: 1000 });
  // What was found for others, or by another way, means nothing here.
  const isNew = loaded.value?.length === accounts.length && loaded.value.every((one, n) => one.account === accounts[n] && one.kind === kind && (kind === "slot" || one.tz === tz));
  return isPlaced(kind) ? { error: loaded.error, value: isNew ? loaded.value : undefined } : {};
}

async function slotOf(account) {
  const { rules, free } = await get(`/accounts/${account.id}/slots`);
  const why = rules.length === 0 ? "it has no slots" : "no slot is free in the next months";
  return { kind: "slot", account, at: free[0], tz: rules[0]?.tz, why: free.length ? undefined : why, hasNone: rules.length === 0 };
}

async function bestOf(account, tz) {
  const best = await get("/analytics/best-times", { account: account.id, tz });
  const at = best.next_at ?? undefined;
  const why = !best.enough_data ? lacking(best) : at ? undefined : "no hour of the week is surely better than others";
  return { kind: "best", account, at, tz, why, best };
}

/** Why nothing is said of good hours yet. */
export const lacking = ({ posts, needs_posts, needs_hours }) => `not enough data: ${posts} ${posts === 1 ? "post is" : "posts are"} counted so far; ${needs_posts} are needed, at ${needs_hours} different hours of the week or more`;

/** How sure an hour is, in words. */
export const sure = (hour) => `${times(hour.lift)} what posts usually get; nineteen times in twenty between ${times(hour.low)} and ${times(hour.high)}`;

const times = (lift) => `${lift.toFixed(1)} times`;

export function When({ form, set, kinds, preview, places }) {
  return html`<fieldset class="card stack"><legend class="label">When</legend>
    ${form.kind !== "kept" && html`<${Tabs} label="When" of=${kinds} now=${form.kind} onPick=${(kind) => set({ kind })} />`}
    ${form.kind === "once" && html`<div class="fields"><${Field} id="at" label="Date and time">${(about) => html`<input ...${about} type="datetime-local" required value=${form.at} onInput=${(event) => set({ at: event.target.value })} />`}<//><${Zone} form=${form} set=${set} /></div>`}
    ${form.kind === "again" && html`<div class="fields"><${Field} id="time" label="At">${(about) => html`<input ...${about} type="time" required value=${form.time} onInput=${(event) => set({ time: event.target.value })} />`}<//><${Zone} form=${form} set=${set} /></div>
      <${Days} days=${form.days} onChange=${(days) => set({ days })} />`}
    ${form.kind === "best" && html`<div class="fields"><${Zone} form=${form} set=${set} /></div>`}
    ${(preview.value?.errors ?? []).filter((one) => one.field === "at").map((one) => html`<p class="wrong" role="status">${sentence(one.message)}</p>`)}
    ${isPlaced(form.kind) ? html`<${Places} of=${places} tz=${form.tz} accounts=${form.accounts} />` : html`<${Occurrences} form=${form} preview=${preview} />`}
  </fieldset>`;
}

export function Days({ days, onChange }) {
  return html`<div class="row" role="group" aria-label="Days">${DAYS.map(([day, word]) => html`<label class="check"><input type="checkbox" checked=${days.includes(day)} onChange=${(event) => onChange(event.target.checked ? [...days, day].sort() : days.filter((other) => other !== day))} />${word}</label>`)}</div>`;
}

export function Zone({ form, set }) {
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

/** The time that each account would take, and how good it is. */
function Places({ of, tz, accounts }) {
  if (!accounts.length) return html`<p class="hint">Each account has its own; choose one.</p>`;
  if (!of.value) return of.error ? html`<${Trouble} error=${of.error} />` : tz && html`<${Busy} what="Looking" />`;
  return html`<ul class="rows" aria-live="polite">${of.value.map((one) => html`<li key=${one.account.id}><strong>${one.account.name}</strong>: ${one.at ? html`<${Place} ...${one} />` : html`<span class="wrong">${sentence(one.why)}</span>`}
    ${one.hasNone && html` <a class="small" ...${link(`/accounts/${one.account.id}/slots`)}>Set some</a>`}</li>`)}</ul>
    ${of.value.length > 1 && html`<p class="hint">It goes out from each account at a time of its own.</p>`}`;
}

function Place({ at, tz, best }) {
  const { hour } = parts(at, tz);
  const found = best?.hours.find((one) => one.good && one.hour === hour && one.weekday === weekdayName(at, tz).slice(0, 3).toLowerCase());
  return html`<time datetime=${at}>${moment(at, tz)}</time>${tz !== here && html` <span class="muted small">here ${moment(at)}</span>`}
    ${found && html`<br /><span class="small muted">${sentence(sure(found))}, told from ${found.posts} posts in this hour</span>`}`;
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
