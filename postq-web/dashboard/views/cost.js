// What platforms bill, where they bill by call and somebody has named the prices.

import { get } from "../api.js";
import { number } from "../chart.js";
import { html } from "../dom.js";
import { day } from "../time.js";
import { Loaded, platformName, useLoaded } from "../ui.js";

const KINDS = { publish: "Publishing", publish_link: "Publishing with a link", read: "Reading metrics" };

/** Millionths of a currency: `15000` -> `$0.015`. */
function money(micros, currency) {
  const options = { minimumFractionDigits: 2, maximumFractionDigits: 6 };
  try {
    return new Intl.NumberFormat("en", { ...options, style: "currency", currency }).format(micros / 1e6);
  } catch {
    return `${new Intl.NumberFormat("en", options).format(micros / 1e6)} ${currency ?? ""}`.trim();
  }
}

/** What a post costs, once it goes out. */
export function Cost({ of }) {
  if (!of) return null;
  const { month } = of;
  return html`<p class="small" id="cost"><strong>Costs about ${money(of.micros, of.currency)}</strong>, with the reading of its metrics${month && html`; in the next 30 days ${month.times} times, about ${money(month.micros, of.currency)}`}.</p>`;
}

/** What this month has cost, and what is left of its budget. */
export function Spending({ within }) {
  const loaded = useLoaded(() => get("/analytics/spending"), [], { within });
  return html`<${Loaded} of=${loaded}>${(told) => told.has_prices && html`<section class="card flush" aria-label="Spent this month"><h2 class="pad">Spent this month</h2>
    <div class="pad stack"><${Budget} told=${told} /></div>
    <div class="scroll" tabindex="0" role="group" aria-label="Spent this month"><table class="table">
      <thead><tr><th scope="col">What for</th><th scope="col" class="num">Calls</th><th scope="col" class="num">Cost</th></tr></thead>
      <tbody>${told.items.map((one) => html`<tr key=${`${one.platform} ${one.kind}`}><th scope="row">${KINDS[one.kind] ?? one.kind} <span class="muted small">${platformName(one.platform)}</span></th><td class="num">${number(one.calls)}</td><td class="num">${money(one.micros, told.currency)}</td></tr>`)}
        <tr><th scope="row">All accounts together</th><td class="num"></td><td class="num"><strong>${money(told.micros, told.currency)}</strong></td></tr></tbody></table></div></section>`}<//>`;
}

function Budget({ told }) {
  if (told.budget_micros === null) return html`<p class="muted">No budget is set.</p>`;
  const isUsedUp = told.left_micros <= 0;
  const stops = told.stops === "everything" ? "publishing and reading metrics stop" : "reading metrics stops, publishing goes on";
  return html`<div class="row"><progress class="grow" value=${Math.min(told.micros, told.budget_micros)} max=${told.budget_micros} aria-label="Of the budget"></progress><span>${money(told.micros, told.currency)} of ${money(told.budget_micros, told.currency)}</span></div>
    ${isUsedUp && html`<p class="note warn"><span>The budget is used up: ${stops} until ${day(told.renews_at, "UTC")}.</span></p>`}`;
}
