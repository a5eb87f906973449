// What an account's posts came to: in sum, day by day, by the hour of the week, and beside one another.

import { all, get } from "../api.js";
import { Chart, Legend, MOST_LINES, bars, letter, lines, number } from "../chart.js";
import { age, countName, ordered } from "../counts.js";
import { html, useState } from "../dom.js";
import { go, link } from "../route.js";
import { day, moment, plusDays } from "../time.js";
import { Empty, Field, Head, Loaded, Tabs, platformName, useLoaded } from "../ui.js";
import { BestTimes } from "./besttimes.js";
import { Spending } from "./cost.js";

const PERIODS = [["7", "7 days"], ["30", "30 days"], ["90", "90 days"], ["365", "A year"]];

/** Counts come when the platform is asked, and each is an event: a page that is looked at need not follow each. */
const WITHIN = 2000;

export function Analytics({ query }) {
  const accounts = useLoaded(() => all("/accounts"), [], { live: false });
  return html`<${Head} title="Analytics" lead="What the platforms have counted of what is out." />
    <${Loaded} of=${accounts}>${(found) => found.length === 0
      ? html`<${Empty} title="No account yet" icon="analytics"><p>Connect one and publish: from a quarter of an hour later on the platform is asked how it does.</p><a class="btn main" ...${link("/accounts")}>Connect an account</a><//>`
      : html`<${Chosen} accounts=${found} query=${query} />`}<//>`;
}

/** The account that is asked for; else the first that publishes anywhere. */
const accountOf = (accounts, id) => accounts.find((account) => account.id === id) ?? accounts.find((account) => account.platform !== "dry_run") ?? accounts[0];

function Chosen({ accounts, query }) {
  const account = accountOf(accounts, query.get("account"));
  const days = PERIODS.some(([many]) => many === query.get("days")) ? query.get("days") : "30";
  const pick = (change) => go(`/analytics?${new URLSearchParams({ account: account.id, days, ...change })}`);
  return html`<div class="stack wide">
    <div class="fields"><${Field} id="account" label="Account">${(about) => html`<select ...${about} value=${account.id} onChange=${(event) => pick({ account: event.target.value })}>${accounts.map((one) => html`<option value=${one.id}>${one.name} (${platformName(one.platform)})</option>`)}</select>`}<//>
      <div><span class="label">Period</span><${Tabs} label="Period" of=${PERIODS} now=${days} onPick=${(many) => pick({ days: many })} /></div></div>
    <${Told} key=${`${account.id} ${days}`} account=${account} days=${Number(days)} />
  </div>`;
}

function Told({ account, days }) {
  // Days are counted by UTC, as the platforms' own pages do not agree either.
  const until = plusDays(new Date().toISOString().slice(0, 10), 1);
  const from = plusDays(until, -days);
  const loaded = useLoaded(() => get("/analytics/summary", { account: account.id, from, until }), [], { within: WITHIN });
  return html`<${Loaded} of=${loaded}>${(summary) => html`
    ${summary.publications === 0 && summary.days.length === 0
      ? html`<${Empty} title="Nothing was counted in this time" icon="analytics"><p>${account.platform === "dry_run" ? "A dry run sends nothing, so nobody counts anything." : "A publication is counted for the first time a quarter of an hour after it came out."}</p><//>`
      : html`<${Totals} summary=${summary} /><${Growth} summary=${summary} from=${from} days=${days} /><${Posts} summary=${summary} />`}
    <section class="card" aria-label="Best times"><${BestTimes} account=${account} within=${WITHIN} /></section>
    <${Spending} within=${WITHIN} />`}<//>`;
}

function Totals({ summary }) {
  const names = ordered([...Object.keys(summary.gained), ...Object.keys(summary.made)]);
  return html`<section class="card flush" aria-label="Totals"><h2 class="pad">Totals</h2>
    <div class="scroll" tabindex="0" role="group" aria-label="Totals"><table class="table">
      <thead><tr><th scope="col">Count</th><th scope="col" class="num">Gained in this time</th><th scope="col" class="num">What came out in it has</th></tr></thead>
      <tbody><tr><th scope="row">Publications</th><td class="num">–</td><td class="num">${number(summary.publications)}</td></tr>
        ${names.map((name) => html`<tr key=${name}><th scope="row">${countName(name)}</th><td class="num">${number(summary.gained[name] ?? 0)}</td><td class="num">${number(summary.made[name] ?? 0)}</td></tr>`)}</tbody></table></div>
    <p class="hint pad">Gained is what was counted more in these days, whenever the post came out. A count may fall.</p></section>`;
}

function Growth({ summary, from, days }) {
  const names = ordered(summary.days.flatMap((one) => Object.keys(one.gained)));
  const [picked, pick] = useState();
  const shown = names.includes(picked) ? picked : names[0];
  if (!shown) return null;
  const found = new Map(summary.days.map((one) => [one.day, one]));
  const dates = Array.from({ length: days }, (_, n) => plusDays(from, n));
  const word = (date) => day(`${date}T12:00:00Z`, "UTC");
  const items = dates.map((date) => ({ name: word(date), value: found.get(date)?.gained[shown] ?? 0, mark: (found.get(date)?.publications ?? 0) > 0 }));
  const rows = dates.map((date) => [word(date), found.get(date)?.publications ?? 0, ...names.map((name) => found.get(date)?.gained[name] ?? 0)]);
  return html`<section class="card" aria-label="Day by day"><${Chart} title=${`${countName(shown)} gained day by day`} heads=${["Day", "Publications", ...names.map(countName)]} rows=${rows} draw=${bars(items)}
    note="A day is one of UTC. A small triangle stands below the days on which something came out.">
    <select aria-label="What is shown" value=${shown} onChange=${(event) => pick(event.target.value)}>${names.map((name) => html`<option value=${name}>${countName(name)}</option>`)}</select><//></section>`;
}

const times = (value) => (value === null ? "–" : `${value.toFixed(1)} ×`);
const share = (value) => (value === null ? "–" : `${(100 * value).toFixed(1)} %`);

/** What a publication is called where its post is not known any more. */
const called = (one) => one.gist || `Out on ${moment(one.published_at)}`;

function Posts({ summary }) {
  const [chosen, choose] = useState([]);
  const known = new Set(summary.best.map((one) => one.publication_id));
  const newest = (summary.newest ?? []).filter((one) => !known.has(one.publication_id));
  const items = [...summary.best, ...newest];
  if (!items.length) return null;
  const toggle = (id) => choose(chosen.includes(id) ? chosen.filter((one) => one !== id) : [...chosen, id]);
  const shown = chosen.map((id) => items.find((one) => one.publication_id === id)).filter(Boolean);
  return html`<section class="card flush" aria-label="Posts beside one another"><h2 class="pad">Posts beside one another</h2>
    <p class="hint pad">The most engaging of the newest ${summary.compared}${newest.length > 0 && ", and the newest"}. Choose up to ${MOST_LINES} to see how they grew, each from the moment it came out.</p>
    <div class="scroll" tabindex="0" role="group" aria-label="Posts beside one another"><table class="table posts">
      <thead><tr><th scope="col">Compare</th><th scope="col">Post</th><th scope="col">Out since</th><th scope="col" class="num">Engagement</th><th scope="col" class="num">Seen by</th><th scope="col" class="num">Rate</th><th scope="col" class="num">Of what is usual</th></tr></thead>
      <tbody>${items.map((one) => html`<tr key=${one.publication_id}><td><input type="checkbox" aria-label=${`Compare “${called(one)}”`} checked=${chosen.includes(one.publication_id)} disabled=${!chosen.includes(one.publication_id) && chosen.length >= MOST_LINES} onChange=${() => toggle(one.publication_id)} /></td>
        <th scope="row"><a ...${link(`/publications/${one.publication_id}`)}>${called(one)}</a></th><td class="nowrap">${moment(one.published_at)}</td>
        <td class="num">${number(one.engagement)}</td><td class="num">${number(one.reach)}</td><td class="num">${share(one.rate)}</td><td class="num">${times(one.of_usual)}</td></tr>`)}</tbody></table></div>
    ${shown.length > 0 && html`<div class="pad stack"><${Compared} chosen=${shown} /></div>`}</section>`;
}

/** The ages at which posts are compared: those at which platforms are asked. */
const MINUTE = 60;
const DAY = 86400;
const AGES = [15 * MINUTE, 30 * MINUTE, 60 * MINUTE, 120 * MINUTE, 240 * MINUTE, 480 * MINUTE, 720 * MINUTE, DAY, 2 * DAY, 3 * DAY, 4 * DAY, 5 * DAY, 6 * DAY, 7 * DAY];

/** A count a little before or after an age is the one of that age. */
const NEAR = 0.05;

/** The engagement at an age: what was counted then, or between two counts as if it had grown evenly. */
function atAge(points, seconds) {
  const near = points.find((point) => Math.abs(point.age_seconds - seconds) <= seconds * NEAR);
  if (near) return near.engagement;
  const after = points.findIndex((point) => point.age_seconds > seconds);
  if (after < 0) return undefined;
  const before = after > 0 ? points[after - 1] : { age_seconds: 0, engagement: 0 };
  const way = (seconds - before.age_seconds) / (points[after].age_seconds - before.age_seconds);
  return Math.round(before.engagement + way * (points[after].engagement - before.engagement));
}

function Compared({ chosen }) {
  const ids = chosen.map((one) => one.publication_id);
  const loaded = useLoaded(() => Promise.all(ids.map((id) => get(`/analytics/publications/${id}`))), [ids.join(" ")], { within: WITHIN });
  return html`<${Loaded} of=${loaded}>${(told) => {
    const series = told.map((one) => ({ name: called(chosen.find((other) => other.publication_id === one.publication_id) ?? one), values: AGES.map((seconds) => atAge(one.points, seconds)) }));
    const used = AGES.map((_, n) => n).filter((n) => series.some((one) => one.values[n] !== undefined));
    if (!used.length) return html`<p class="muted">Nothing was counted of ${told.length === 1 ? "it" : "them"} yet.</p>`;
    const ages = used.map((n) => age(AGES[n]));
    const shown = series.map((one) => ({ ...one, values: used.map((n) => one.values[n]) }));
    return html`<${Chart} title="Engagement at the same age" heads=${["After", ...shown.map((one, n) => `${letter(n)} ${one.name}`)]} rows=${ages.map((name, n) => [name, ...shown.map((one) => one.values[n])])} draw=${lines(ages, shown)}
      note="Between two counts as if it had grown evenly." /><${Legend} series=${shown} />`;
  }}<//>`;
}
