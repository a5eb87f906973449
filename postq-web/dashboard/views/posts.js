import { accountsById, all } from "../api.js";
import { html, useState } from "../dom.js";
import { Icon } from "../icons.js";
import { link } from "../route.js";
import { may } from "../session.js";
import { ago, moment } from "../time.js";
import { Empty, Head, Loaded, PostState, When, gist, nameOf, nextOf, useLoaded } from "../ui.js";

const STEP = 50;

/** Accounts that a line names. */
const MOST_NAMES = 5;

/** The newest posts, as many as are shown. */
async function load(most) {
  const [accounts, items] = await Promise.all([accountsById(), all("/posts", { order: "newest", limit: STEP }, most + 1)]);
  return { accounts, items: items.slice(0, most), isMore: items.length > most };
}

export function Posts() {
  const [most, setMost] = useState(STEP);
  const loaded = useLoaded(() => load(most), [most]);
  return html`<${Head} title="Posts" lead="Everything that was written, the newest first: drafts, what is scheduled, what is out.">
      ${may("write") && html`<a class="btn main" ...${link("/compose")}><${Icon} name="plus" />Write a post</a>`}<//>
    <${Loaded} of=${loaded}>${({ items, accounts, isMore }) => items.length === 0
      ? html`<${Empty} title="Nothing is written yet" icon="posts">${may("write") && html`<a class="btn main" ...${link("/compose")}>Write a post</a>`}<//>`
      : html`<ul class="card flush">${items.map((post) => html`<${Line} key=${post.id} post=${post} accounts=${accounts} />`)}</ul>
        ${isMore && html`<div class="row center"><button type="button" class="btn" onClick=${() => setMost(most + STEP)}>Show more</button></div>`}`}<//>`;
}

function Line({ post, accounts }) {
  const names = [...new Set(post.schedules.flatMap((schedule) => schedule.accounts))].map((id) => nameOf(accounts, id));
  const shown = names.length > MOST_NAMES ? `${names.slice(0, MOST_NAMES).join(", ")} and ${names.length - MOST_NAMES} more` : names.join(", ");
  const next = nextOf(post.schedules);
  return html`<li class="line">
    <span class="grow"><a dir="auto" ...${link(`/posts/${post.id}`)}>${gist(post.parts)}</a><br />
      <span class="small muted">${shown || "no account yet"}${post.parts.length > 1 ? ` · thread of ${post.parts.length}` : ""}</span></span>
    <span class="small muted">${next ? html`next <time datetime=${next} title=${ago(next)}>${moment(next)}</time>` : html`written <${When} at=${post.created_at} />`}</span>
    <${PostState} of=${post.state} />
  </li>`;
}
