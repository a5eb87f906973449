// How one publication has done since it came out.

import { accountsById, get } from "../api.js";
import { Chart, lines, number } from "../chart.js";
import { STANDINGS, age, countName, ordered, span } from "../counts.js";
import { html, useState } from "../dom.js";
import { Icon } from "../icons.js";
import { link } from "../route.js";
import { long } from "../time.js";
import { Badge, Head, Loaded, When, nameOf, platformName, useLoaded } from "../ui.js";

async function load(id) {
  const [told, accounts] = await Promise.all([get(`/analytics/publications/${id}`), accountsById()]);
  return { told, accounts };
}

export function Publication({ id }) {
  const loaded = useLoaded(() => load(id), [id], { within: 2000 });
  return html`<${Loaded} of=${loaded}>${(value) => html`<${Whole} ...${value} />`}<//>`;
}

/** What becomes of the polls, in words. */
const NOTE = {
  hidden: "The platform does not show it to others any more. What was counted before stays.",
  deleted: "The platform does not have it any more. What was counted before stays, and it is not asked for again.",
};

function Whole({ told, accounts }) {
  const account = accounts.get(told.account_id);
  const standing = STANDINGS[told.state];
  const url = /^https?:/.test(told.url ?? "") ? told.url : undefined;
  return html`<${Head} title=${told.gist || "A publication"}>${standing ? html`<${Badge} look=${standing[0]}><${Icon} name=${standing[2]} />${standing[1]}<//>` : html`<${Badge}><${Icon} name="waiting" />Not counted yet<//>`}
      ${url && html`<a class="btn" href=${url} rel="noreferrer noopener" target="_blank">On ${account ? platformName(account.platform) : "the platform"} <${Icon} name="out_link" /></a>`}
      ${told.post_id && html`<a class="btn" ...${link(`/posts/${told.post_id}`)}>The post</a>`}<//>
    <div class="stack wide">
      ${NOTE[told.state] && html`<p class="note warn"><span>${NOTE[told.state]}</span></p>`}
      <div class="halves">
        <section class="card" aria-label="What it is"><dl class="pairs">
          <dt>Account</dt><dd><a ...${link(`/analytics?account=${told.account_id}`)}>${nameOf(accounts, told.account_id)}</a></dd>
          <dt>Out since</dt><dd>${long(told.published_at)} (<${When} at=${told.published_at} />)</dd>
          <dt>Half of it came within</dt><dd>${told.half_life_seconds === null ? "nothing to tell yet" : span(told.half_life_seconds)}</dd>
          <dt>Counted next</dt><dd>${told.next_poll_at ? html`<${When} at=${told.next_poll_at} />` : told.points.length ? "not any more" : "not planned"}</dd></dl></section>
        <section class="card" aria-label="Counted last"><h2>Counted last</h2>
          ${Object.keys(told.counts).length === 0 ? html`<p class="muted">Nothing yet: the first count comes a quarter of an hour after publishing.</p>`
            : html`<dl class="pairs">${ordered(Object.keys(told.counts)).map((name) => html`<dt>${countName(name)}</dt><dd>${number(told.counts[name])}</dd>`)}</dl>`}</section>
      </div>
      ${told.points.length > 0 && html`<section class="card" aria-label="Since it came out"><${Series} points=${told.points} /></section>`}
    </div>`;
}

function Series({ points }) {
  const names = ordered(points.flatMap((point) => Object.keys(point.counts)));
  const [shown, show] = useState("engagement");
  const fields = ["engagement", ...names];
  const value = (point, field) => (field === "engagement" ? point.engagement : point.counts[field]);
  const word = (field) => (field === "engagement" ? "Engagement" : countName(field));
  const ages = points.map((point) => age(point.age_seconds));
  return html`<${Chart} title=${`${word(shown)} since it came out`} heads=${["After", "Counted", "State", ...fields.map(word), "Engagement an hour"]}
    rows=${points.map((point, n) => [ages[n], long(point.at), STANDINGS[point.state]?.[1] ?? point.state, ...fields.map((field) => value(point, field)), point.engagement_per_hour])}
    draw=${lines(ages, [{ name: word(shown), values: points.map((point) => (point.state === "shown" ? value(point, shown) : undefined)) }])}
    note="Engagement is the sum of what the platform calls so. Between two counts nobody knows how it grew.">
    <select aria-label="What is shown" value=${shown} onChange=${(event) => show(event.target.value)}>${fields.map((field) => html`<option value=${field}>${word(field)}</option>`)}</select><//>`;
}
