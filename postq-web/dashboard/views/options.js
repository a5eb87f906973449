// What else the chosen platforms want to know of a post: a community, a board, a title.

import { html } from "../dom.js";
import { Field, platformName, sentence } from "../ui.js";

/** Which option a refusal is about; none if it is about something else. */
export const optionOf = (violation) => /the option "([a-z0-9_]+)"/.exec(violation.message)?.[1];

/** The same at the field itself, which need not be named. */
function atField({ message }) {
  const what = /^the option "[a-z0-9_]+" (.*)$/s.exec(message)?.[1];
  if (!what) return sentence(message);
  return what.startsWith("is missing") ? "It is needed" : `It ${what}`;
}

/** The values of a post as fields have them. */
export function inFields(options) {
  const shown = (value) => (Array.isArray(value) ? value.join(", ") : String(value));
  return Object.fromEntries(Object.entries(options).map(([platform, values]) => [platform, Object.fromEntries(Object.entries(values).map(([name, value]) => [name, shown(value)]))]));
}

/** The values of fields as the API takes them, in its order and without what is empty. */
export function typed(fields, abilities) {
  const sorted = (pairs) => pairs.sort(([a], [b]) => (a < b ? -1 : 1));
  const platforms = Object.entries(fields).map(([platform, values]) => {
    const known = abilities.find((one) => one.platform === platform)?.options ?? [];
    const pairs = Object.entries(values).map(([name, value]) => [name, read(known.find((one) => one.name === name)?.kind, value)]);
    return [platform, Object.fromEntries(sorted(pairs.filter(([, value]) => value !== undefined)))];
  });
  return Object.fromEntries(sorted(platforms.filter(([, values]) => Object.keys(values).length > 0)));
}

function read(kind, value) {
  const text = value.trim();
  if (text === "") return undefined;
  if (kind === "flag") return text === "true";
  if (kind === "number" && Number.isSafeInteger(Number(text))) return Number(text);
  return kind === "list" ? text.split(",").map((one) => one.trim()).filter(Boolean) : text;
}

/** A form for each chosen platform that wants to know something. */
export function Options({ abilities, chosen, values, wrong, onChange }) {
  const wanted = abilities.filter((one) => chosen.includes(one.platform) && one.options.length > 0);
  return wanted.map(({ platform, options }) => {
    const own = values[platform] ?? {};
    const set = (name, value) => onChange({ ...values, [platform]: { ...own, [name]: value } });
    const told = (name) => {
      const found = wrong.find((one) => one.platform === platform && optionOf(one) === name);
      return found && atField(found);
    };
    const field = (option) => html`<${Option} key=${option.name} id=${`option-${platform}-${option.name}`} option=${option} value=${own[option.name]} wrong=${told(option.name)} onChange=${(value) => set(option.name, value)} />`;
    const first = options.filter((option) => option.required);
    const others = options.filter((option) => !option.required);
    const isOpen = others.some((option) => own[option.name] || told(option.name));
    return html`<fieldset class="card stack" key=${platform}><legend class="label">For ${platformName(platform)}</legend>
      ${first.length > 0 && html`<div class="fields top">${first.map(field)}</div>`}
      ${others.length > 0 && html`<details open=${isOpen}><summary>${first.length > 0 ? "More that it takes" : "What it takes besides"}</summary><div class="fields top">${others.map(field)}</div></details>`}</fieldset>`;
  });
}

/** A field of the kind that the platform says. What is needed is said in its label, not only by a sign. */
function Option({ id, option, value, wrong, onChange }) {
  const { kind, about, required, choices, least, most } = option;
  const word = sentence(option.name.replaceAll("_", " "));
  const label = required ? html`${word} <span class="muted small">(needed)</span>` : word;
  const hint = kind === "list" ? `${sentence(about)}, with commas between` : sentence(about);
  const own = { value: value ?? "", "aria-required": required ? "true" : undefined };
  const set = (event) => onChange(event.target.value);
  return html`<${Field} id=${id} label=${label} hint=${hint} wrong=${wrong}>${(told) => {
    // Left open is not the same as no: the platform may do it by itself.
    const words = kind === "flag" ? [["true", "Yes"], ["false", "No"]] : choices.map((one) => [one, one]);
    if (words.length > 0) return html`<select ...${told} ...${own} onChange=${set}><option value="">${required ? "Choose one" : "–"}</option>${words.map(([one, word]) => html`<option value=${one}>${word}</option>`)}</select>`;
    if (kind === "number") return html`<input ...${told} ...${own} onInput=${set} type="number" min=${least} max=${most} step="1" />`;
    return html`<input ...${told} ...${own} onInput=${set} type="text" />`;
  }}<//>`;
}
