// What each platform can do, as its code tells it.

import { get } from "../api.js";
import { html } from "../dom.js";
import { Badge, Head, Loaded, platformName, useLoaded } from "../ui.js";

export function Platforms() {
  const loaded = useLoaded(() => get("/platforms"), [], { live: false });
  return html`<${Head} title="Platforms" lead="What each can do: how long a text may be, what files it takes, what else it wants to know." />
    <${Loaded} of=${loaded}>${({ items }) => html`<div class="stack wide">${items.map((one) => html`<${Platform} key=${one.platform} of=${one} />`)}</div>`}<//>`;
}

function Platform({ of }) {
  const name = platformName(of.platform);
  return html`<section class="card stack" id=${`platform-${of.platform}`} aria-label=${name}>
    <div class="row"><h2 class="grow">${name}</h2>${of.preflight && html`<${Badge} look="run">asked for its rules beforehand<//>`}${of.builds_ahead && html`<${Badge} look="run">prepared before it is due<//>`}</div>
    <dl class="pairs">
      <dt>A text</dt><dd>${of.text === null ? "of any length" : `up to ${of.text} characters, as it counts`}</dd>
      <dt>A thread</dt><dd>${of.parts === 1 ? "none: a post has one part" : of.parts === null ? "of any length" : `up to ${of.parts} parts`}</dd>
      <dt>Pictures and videos</dt><dd>${of.media ? files(of.media) : "none"}</dd>
      <dt>Posts in 24 hours</dt><dd>${of.daily ?? "as many as its limits let through"}</dd>
      <dt>When no answer comes</dt><dd>${of.settle_seconds === null ? "nobody can be asked: the account decides" : `it is asked whether the post is out; a no is believed after ${span(of.settle_seconds)}`}</dd>
      <dt>Counts</dt><dd>${of.metrics.join(", ").replaceAll("_", " ") || "nothing"}</dd>
      <dt>Accounts</dt><dd>${of.connects ? "connected at the platform, or added with a token" : of.platform === "dry_run" ? "need nothing" : "added with a token or an app password"}${of.renews ? "; tokens renew themselves" : ""}</dd>
    </dl>
    ${of.options.length > 0 && html`<div class="scroll" tabindex="0" role="group" aria-label=${`Options of ${name}`}><table class="table"><caption class="only-read">Options of ${name}</caption>
      <thead><tr><th scope="col">Option</th><th scope="col">What it is</th><th scope="col">It may be</th></tr></thead>
      <tbody>${of.options.map((option) => html`<tr key=${option.name}><th scope="row"><code>${of.platform}.${option.name}</code>${option.required && html` <${Badge} look="warn">needed<//>`}</th><td>${option.about}</td><td>${values(option)}</td></tr>`)}</tbody></table></div>`}
  </section>`;
}

const span = (seconds) => (seconds % 60 === 0 && seconds > 60 ? `${seconds / 60} minutes` : `${seconds} seconds`);

/** `4 pictures, 1 video; 4 in all` */
function files({ most, image, animation, video, alt }) {
  const some = [["pictures", image], ["GIFs", animation], ["videos", video]].filter(([, one]) => one);
  return `${some.map(([word, one]) => `${one.most} ${one.most === 1 ? word.slice(0, -1) : word} (${one.kinds.join(", ")})`).join(", ")}; ${most} in all${alt > 0 ? `; descriptions up to ${alt} characters` : ""}`;
}

function values({ kind, least, most, choices }) {
  switch (kind) {
    case "flag": return "yes or no";
    case "number": return `${least} to ${most}`;
    case "choice": return choices.join(", ");
    case "list": return `up to ${most} texts`;
    default: return `a text of up to ${most} characters`;
  }
}
