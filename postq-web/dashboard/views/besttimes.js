// The hours of the week at which an account's posts did well, and how sure that is.

import { get } from "../api.js";
import { html } from "../dom.js";
import { firstDay, here, moment, zoneName } from "../time.js";
import { Icon } from "../icons.js";
import { Badge, Loaded, sentence, useLoaded } from "../ui.js";
import { lacking, sure } from "./when.js";

const WEEK = [["mon", "Monday"], ["tue", "Tuesday"], ["wed", "Wednesday"], ["thu", "Thursday"], ["fri", "Friday"], ["sat", "Saturday"], ["sun", "Sunday"]];
const days = WEEK.map((_, n) => WEEK[(n + firstDay - 1) % 7]);
const HOURS = Array.from({ length: 24 }, (_, hour) => hour);

/** The good hours that are told in words. */
const TOLD = 3;

export function BestTimes({ account, within }) {
  const loaded = useLoaded(() => get("/analytics/best-times", { account: account.id, tz: here }), [], { within });
  return html`<div class="stack"><div class="row"><h2 class="grow">Best times</h2><span class="small muted">by the clocks of ${here} (${zoneName(here)})</span></div>
    <${Loaded} of=${loaded}>${(best) => (best.enough_data ? html`<${Told} best=${best} />` : html`<p class="note"><span>${sentence(lacking(best))}. A post counts once it has been out for two days.</span></p>`)}<//></div>`;
}

const two = (hour) => `${String(hour).padStart(2, "0")}:00`;
const dayName = (key) => WEEK.find(([one]) => one === key)[1];

function Told({ best }) {
  const good = best.hours.filter((hour) => hour.good);
  const found = new Map(best.hours.map((hour) => [`${hour.weekday} ${hour.hour}`, hour]));
  return html`<p>Told from ${best.posts} posts. ${certain(best.certainty)}</p>
    ${good.length === 0 ? html`<p class="note"><span>No hour of the week is surely better than others.</span></p>`
      : html`<ol class="rows">${good.slice(0, TOLD).map((hour) => html`<li key=${`${hour.weekday} ${hour.hour}`}><${Badge} look="good"><${Icon} name="star" />${dayName(hour.weekday)}, ${two(hour.hour)}<//> <span class="small">${sentence(sure(hour))} (${hour.posts} posts)</span></li>`)}</ol>`}
    ${best.next_at && html`<p class="small muted">The next good time is <time datetime=${best.next_at}>${moment(best.next_at)}</time>.</p>`}
    <div class="scroll" tabindex="0" role="group" aria-label="The hours of the week"><table class="week-hours"><caption class="only-read">What a post may expect in each hour, as a multiple of what is usual; a star stands at hours that are surely better</caption>
      <thead><tr><td></td>${HOURS.map((hour) => html`<th scope="col">${hour}</th>`)}</tr></thead>
      <tbody>${days.map(([key, word]) => html`<tr key=${key}><th scope="row">${word.slice(0, 3)}</th>${HOURS.map((hour) => html`<${Cell} key=${hour} of=${found.get(`${key} ${hour}`)} />`)}</tr>`)}</tbody></table></div>
    <p class="hint">The stronger the colour, the more a post may expect: 1.0 is what is usual, ★ surely more than that. Hours without a number had no posts, which says nothing of them.</p>`;
}

/** How much of what is told is more than chance, in words. */
const certain = (share) => (share === null ? "" : `Of the differences between hours about ${Math.round(share * 100)} % ${share < 0.5 ? "is more than chance: take them with care." : "is more than chance."}`);

/** Five shades: far below what is usual, below, usual, above, far above. */
const shade = (lift) => 1 + [0.7, 0.9, 1.1, 1.5].filter((bound) => lift >= bound).length;

function Cell({ of }) {
  if (!of) return html`<td></td>`;
  return html`<td class=${`s${shade(of.lift)} ${of.good ? "good" : ""}`} title=${`${sure(of)}; ${of.posts} posts`}>${of.lift.toFixed(1)}${of.good && html`<span aria-hidden="true">★</span><span class="only-read"> good</span>`}</td>`;
}
