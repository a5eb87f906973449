import { get } from "../api.js";
import { html } from "../dom.js";
import { link } from "../route.js";
import { Badge, Head, Loaded, When, useLoaded } from "../ui.js";

const LOOKS = { up: ["good", "Up"], stopped: ["", "Stopped"], gone: ["bad", "Gone"] };

/** Those that work come first. */
const rank = (node) => ["up", "gone", "stopped"].indexOf(node.state);

export function Nodes() {
  const loaded = useLoaded(() => get("/nodes"), []);
  return html`<${Head} title="Nodes" lead="Every process that shares this store: what it does, what runs on it, and whether its loops go round." />
    <${Loaded} of=${loaded}>${({ items, answered_by: here }) => html`<div class="stack wide">${[...items].sort((a, b) => rank(a) - rank(b)).map((node) => html`<${Node} key=${node.id} node=${node} isHere=${node.id === here} />`)}</div>`}<//>`;
}

function Node({ node, isHere }) {
  const [look, word] = LOOKS[node.state] ?? ["", node.state];
  return html`<section class="card stack" aria-label=${node.host || node.id}>
    <div class="row"><h2 class="grow">${node.host || "a node"} <span class="muted small">process ${node.pid}, version ${node.version}</span></h2>
      ${isHere && html`<${Badge} look="run">answers you<//>`}<${Badge} look=${look}>${word}<//></div>
    <dl class="pairs">
      <dt>Does</dt><dd>${node.roles.join(", ") || "–"}</dd>
      <dt>Works on</dt><dd>${node.topics.map((topic) => `${topic.topic} (${topic.at_once} at once)`).join(", ") || "nothing"}</dd>
      <dt>Started</dt><dd><${When} at=${node.started_at} /></dd>
      <dt>Last heard of</dt><dd><${When} at=${node.seen_at} /></dd>
      <dt>Runs now</dt><dd>${node.running === 0 ? "nothing" : html`${node.running}: ${node.running_jobs.map((job) => html`<a class="mono small" ...${link(`/jobs/${job.id}`)}>${job.topic} ${job.id.slice(-6)}</a> `)}`}</dd>
    </dl>
    ${node.state !== "stopped" && node.loops.length > 0 && html`<div class="scroll" tabindex="0" role="group" aria-label="Loops"><table class="table"><caption class="only-read">Loops</caption>
      <thead><tr><th scope="col">Loop</th><th scope="col">Last success</th><th scope="col">State</th></tr></thead>
      <tbody>${node.loops.map((loop) => html`<tr key=${loop.name}><th scope="row">${loop.name}</th><td><${When} at=${loop.last_success} /></td>
        <td>${loop.error ? html`<${Badge} look="bad">failing<//> <span class="small">${loop.error}</span>` : html`<${Badge} look=${loop.fresh ? "good" : "warn"}>${loop.fresh ? "goes round" : "late"}<//>`}</td></tr>`)}</tbody></table></div>`}
  </section>`;
}
