// The times of the week at which an account likes to publish.

import { get, put } from "../api.js";
import { html, useState } from "../dom.js";
import { link } from "../route.js";
import { may } from "../session.js";
import { here, moment } from "../time.js";
import { Act, Field, Head, Loaded, Trouble, toast, useLoaded } from "../ui.js";
import { Days, Zone } from "./when.js";

const NAMES = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];
const KNOWN = { "0-6": "daily", "*": "daily", "1-5": "weekdays", "0,6": "weekends" };

/** The days as the API takes them: `1,2,3,4,5` -> `weekdays`. */
function daysInWords(days) {
  const key = days.join(",");
  const whole = { "0,1,2,3,4,5,6": "daily", "1,2,3,4,5": "weekdays", "0,6": "weekends" };
  return whole[key] ?? days.map((day) => NAMES[day]).join(",");
}

/** A rule `30 17 * * 1-5` as `{days: "weekdays", time: "17:30", tz}`. */
function read({ expr, tz }) {
  const [minute, hour, , , days] = expr.split(" ");
  const words = KNOWN[days] ?? days.split(",").map((day) => NAMES[day] ?? day).join(",");
  return { days: words, time: `${hour.padStart(2, "0")}:${minute.padStart(2, "0")}`, tz };
}

/** The rules as people say them, the times of the same days together: `weekdays 09:00 and 17:30 Europe/Berlin`. */
function lines(rules) {
  const found = new Map();
  for (const { days, time, tz } of rules) {
    const key = `${days} ${tz}`;
    if (!found.has(key)) found.set(key, { days, tz, times: new Set() });
    found.get(key).times.add(time);
  }
  return [...found.values()].map(({ days, tz, times }) => ({ days, tz, times: [...times].sort() }));
}

const said = ({ days, times, tz }) => `${days} ${times.join(" and ")} ${tz}`;

const DAY_WORDS = { daily: "Every day", weekdays: "Monday to Friday", weekends: "Saturday and Sunday" };
const dayWords = (days) => DAY_WORDS[days] ?? days.split(",").map((day) => day.replace(/^./, (first) => first.toUpperCase())).join(", ");

async function load(id) {
  const [account, slots] = await Promise.all([get(`/accounts/${id}`), get(`/accounts/${id}/slots`)]);
  return { account, slots };
}

export function Slots({ id }) {
  const loaded = useLoaded(() => load(id), [id]);
  return html`<${Loaded} of=${loaded}>${({ account, slots }) => html`<${Head} title=${`Slots of ${account.name}`} lead="The times of the week at which it likes to publish. A post takes the next free one; no two posts take the same.">
      <a class="btn" ...${link(`/accounts/${id}`)}>The account</a>${may("write") && html`<a class="btn main" ...${link("/compose")}>Write a post</a>`}<//>
    <div class="stack wide"><${Rules} id=${id} rules=${slots.rules.map(read)} again=${loaded.again} /><${Free} free=${slots.free} hasRules=${slots.rules.length > 0} /></div>`}<//>`;
}

function Rules({ id, rules, again }) {
  const all = lines(rules);
  const set = async (next) => {
    await put(`/accounts/${id}/slots`, { slots: next.map(said) });
    again();
  };
  return html`<section class="card stack" aria-label="When"><h2>When</h2>
    ${all.length === 0 ? html`<p class="muted">It has no slots yet.</p>`
      : html`<ul class="rows">${all.map((one) => html`<li key=${said(one)} class="row"><span class="grow"><strong>${dayWords(one.days)}</strong> at ${one.times.join(" and ")} <span class="muted">${one.tz}</span></span>
        ${may("write") && html`<${Act} look="small bad" label=${`Remove ${said(one)}`} done="Removed" run=${() => set(all.filter((other) => other !== one))}>Remove<//>`}</li>`)}</ul>`}
    <p class="hint">They keep their local time when the clocks change. Posts that are in slots stay where they are.</p>
    ${may("write") && html`<${Add} onAdd=${(one) => set(lines([...rules, ...one.times.map((time) => ({ ...one, time }))]))} />`}</section>`;
}

function Add({ onAdd }) {
  const [form, setForm] = useState({ days: ["1", "2", "3", "4", "5"], times: "09:00", tz: here });
  const [error, setError] = useState();
  const set = (change) => setForm((old) => ({ ...old, ...change }));
  const times = form.times.split(/[\s,]+|and/).filter(Boolean);
  const isWrong = !times.length || !times.every((time) => /^([01]?\d|2[0-3]):[0-5]\d$/.test(time));
  const submit = async (event) => {
    event.preventDefault();
    try {
      await onAdd({ days: daysInWords(form.days), times: times.map((time) => time.padStart(5, "0")), tz: form.tz });
      setError(undefined);
      toast("The slots are set");
    } catch (problem) {
      setError(problem);
    }
  };
  return html`<form class="stack" onSubmit=${submit}><h3>Add slots</h3><${Days} days=${form.days} onChange=${(days) => set({ days })} />
    <div class="fields"><${Field} id="times" label="Times" hint="One or more: 09:00, 17:30" wrong=${form.times && isWrong ? "Times as 09:00, with commas between them" : undefined}>${(about) => html`<input ...${about} required value=${form.times} onInput=${(event) => set({ times: event.target.value })} />`}<//><${Zone} form=${form} set=${set} /></div>
    <${Trouble} error=${error} />
    <div class="row end"><button class="btn main" disabled=${isWrong || !form.days.length || !form.tz}>Add</button></div></form>`;
}

function Free({ free, hasRules }) {
  if (!hasRules) return null;
  return html`<section class="card stack" aria-label="Free next"><h2>Free next</h2>
    ${free.length === 0 ? html`<p class="note warn"><span>Every slot that is looked at is taken.</span></p>` : html`<ol class="times">${free.map((at) => html`<li key=${at}><time datetime=${at}>${moment(at)}</time></li>`)}</ol>`}
    <p class="small muted">Times in ${here}.</p></section>`;
}
