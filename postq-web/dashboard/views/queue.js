import { all, get, post } from "../api.js";
import { html } from "../dom.js";
import { link } from "../route.js";
import { may } from "../session.js";
import { Act, Block, Empty, Head, Loaded, State, When, platformName, useLoaded } from "../ui.js";

const MOST = 500;

async function load() {
  const [accounts, health, stats, ...jobs] = await Promise.all([
    all("/accounts"),
    get("/queue/health"),
    get("/posts/scheduler/stats"),
    ...["running", "enqueued", "failed", "planned"].map((state) => all("/jobs", { state, topic: "publish" }, MOST)),
  ]);
  return { accounts, health, stats, jobs: jobs.flat() };
}

export function Queue() {
  const loaded = useLoaded(load, []);
  return html`<${Head} title="Queue" lead="What goes out now, what waits, and what holds it up. One lane per account: one post at a time, in order." />
    <${Loaded} of=${loaded}>${(value) => html`<${Lanes} ...${value} again=${loaded.again} />`}<//>`;
}

function Lanes({ accounts, health, stats, jobs, again }) {
  const lanes = new Map(accounts.map((account) => [account.id, { account, jobs: [] }]));
  for (const job of jobs) lanes.get(job.account_id)?.jobs.push(job);
  const shown = [...lanes.values()]
    .filter((lane) => lane.jobs.length || lane.account.blocks.length)
    .sort((a, b) => first(a).localeCompare(first(b)));
  return html`<div class="stack wide">
    <${Condition} of=${health.health} />
    <${Depths} topics=${stats.topics} />
    ${shown.length === 0
      ? html`<${Empty} title="Nothing waits" icon="queue"><p>Everything that was due is out. What is planned for later is in the calendar, and comes here a minute before its time.</p>
          ${may("write") && html`<a class="btn main" ...${link("/compose")}>Write a post</a>`}<//>`
      : shown.map((lane) => html`<${Lane} key=${lane.account.id} ...${lane} again=${again} />`)}
  </div>`;
}

const first = (lane) => lane.jobs.map((job) => job.run_at).sort()[0] ?? "9";

function Condition({ of }) {
  if (of.status === "ready") return null;
  return html`<div class=${`note ${of.status === "degraded" ? "warn" : "bad"}`} role="status"><div>
    <p><strong>${of.status === "degraded" ? "postq works, with something missing" : "postq is not ready"}</strong></p>
    ${of.reasons.map((reason) => html`<p class="small">${reason}</p>`)}
  </div></div>`;
}

function Depths({ topics }) {
  return html`<div class="card flush scroll"><table class="table">
    <caption class="only-read">Jobs by topic</caption>
    <thead><tr><th scope="col">Topic</th><th scope="col" class="num">Waiting</th><th scope="col" class="num">Later</th><th scope="col" class="num">Running</th><th scope="col" class="num">Done lately</th><th scope="col" class="num">Gave up</th></tr></thead>
    <tbody>${topics.map((topic) => html`<tr key=${topic.topic}><th scope="row">${topic.topic}</th>
      <td class="num">${topic.waiting}${topic.waiting_at_least ? "+" : ""}</td><td class="num">${topic.delayed}</td><td class="num">${topic.active}</td><td class="num">${topic.completed}</td><td class="num">${topic.failed}</td></tr>`)}</tbody>
  </table></div>`;
}

function Lane({ account, jobs, again }) {
  const next = jobs.sort((a, b) => a.run_at.localeCompare(b.run_at)).slice(0, 5);
  return html`<section class="card stack" aria-label=${account.name}>
    <div class="row"><h2 class="grow">${account.name} <span class="muted small">${platformName(account.platform)}</span></h2>
      ${account.blocks.map((block) => html`<${Block} of=${block} />`)}
      <span class="muted small">${jobs.length} in the lane</span></div>
    ${next.length > 0 && html`<ol class="rows">${next.map((job) => html`<li key=${job.id} class="row">
      <${State} of=${job.standing} />
      <a class="grow" ...${link(`/jobs/${job.id}`)}>${job.gist || "(no text)"}</a>
      <span class="small muted">due <${When} at=${job.run_at} />${job.attempt > 1 ? `, attempt ${job.attempt} of ${job.max_attempts}` : ""}</span>
      ${may("write") && ["enqueued", "failed"].includes(job.state) && html`<${Act} look="small" label=${`Due now: ${job.id}`} done="It is due now" run=${async () => { await post(`/jobs/${job.id}/retry`); again(); }}>Due now<//>`}
    </li>`)}</ol>`}
    ${jobs.length > next.length && html`<p class="small muted">and ${jobs.length - next.length} more</p>`}
  </section>`;
}
