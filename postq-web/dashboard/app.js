// The frame: who is signed in, where one is, and what is on the left.

import { Refused, UNREACHABLE, get } from "./api.js";
import { html, render, useEffect, useRef, useState } from "./dom.js";
import { Icon, Sign } from "./icons.js";
import { isLive, leave as leaveStream, listen } from "./live.js";
import { go, link, useRoute } from "./route.js";
import { leave, session } from "./session.js";
import { Busy, Head, Toasts, Trouble, toast, useLoaded } from "./ui.js";
import { Calendar } from "./views/calendar.js";
import { DeadLetters } from "./views/dead.js";
import { Job } from "./views/job.js";
import { Login } from "./views/login.js";
import { Post } from "./views/post.js";
import { Posts } from "./views/posts.js";
import { Queue } from "./views/queue.js";
import { Settings } from "./views/settings.js";

/** Pages that are fetched when they are first opened: what comes before stays small. */
const Accounts = later("accounts", "Accounts");
const Analytics = later("analytics", "Analytics");
const Compose = later("compose", "Compose");
const Nodes = later("nodes", "Nodes");
const Platforms = later("platforms", "Platforms");
const Publication = later("publication", "Publication");
const Slots = later("slots", "Slots");

const PLACES = [
  ["/", "Calendar", "calendar"],
  ["/compose", "Compose", "compose"],
  ["/posts", "Posts", "posts"],
  ["/queue", "Queue", "queue"],
  ["/analytics", "Analytics", "analytics"],
  ["/dead-letters", "Dead letters", "dead"],
  ["/accounts", "Accounts", "accounts"],
  ["/platforms", "Platforms", "out_link"],
  ["/nodes", "Nodes", "nodes"],
  ["/settings", "Settings", "settings"],
];

const VIEWS = [
  [/^\/$/, () => html`<${Calendar} />`],
  [/^\/compose$/, (_, query) => html`<${Compose} key=${query.toString()} query=${query} />`],
  [/^\/posts$/, () => html`<${Posts} />`],
  [/^\/posts\/([0-9a-f-]{36})$/, ([, id]) => html`<${Post} key=${id} id=${id} />`],
  [/^\/queue$/, () => html`<${Queue} />`],
  [/^\/jobs\/([0-9a-f-]{36})$/, ([, id]) => html`<${Job} key=${id} id=${id} />`],
  [/^\/dead-letters$/, () => html`<${DeadLetters} />`],
  [/^\/accounts(?:\/([0-9a-f-]{36}))?$/, ([, id]) => html`<${Accounts} chosen=${id} />`],
  [/^\/accounts\/([0-9a-f-]{36})\/slots$/, ([, id]) => html`<${Slots} key=${id} id=${id} />`],
  [/^\/analytics$/, (_, query) => html`<${Analytics} query=${query} />`],
  [/^\/publications\/([0-9a-f-]{36})$/, ([, id]) => html`<${Publication} key=${id} id=${id} />`],
  [/^\/platforms$/, () => html`<${Platforms} />`],
  [/^\/nodes$/, () => html`<${Nodes} />`],
  [/^\/settings$/, () => html`<${Settings} />`],
];

/** How far behind the number beside “Dead letters” may be: it is asked for wherever one is. */
const COUNTED_WITHIN = 2000;

function App() {
  const [who, setWho] = useState();
  const [error, setError] = useState();
  const look = async () => {
    try {
      const now = await session();
      if (!now.scope) leaveStream();
      setWho(now);
      setError(undefined);
    } catch (problem) {
      setError(problem);
    }
  };
  useEffect(() => {
    look();
    // A page that comes back out of the browser's memory is as old as it was left.
    const back = (event) => event.persisted && look();
    addEventListener("signed-out", look);
    addEventListener("pageshow", back);
    return () => {
      removeEventListener("signed-out", look);
      removeEventListener("pageshow", back);
    };
  }, []);
  useEffect(() => {
    if (!error) return undefined;
    const timer = setTimeout(look, 2000);
    return () => clearTimeout(timer);
  }, [error]);
  if (!who) return html`<main>${error ? html`<${Trouble} error=${error} />` : html`<${Busy} />`}</main>`;
  if (!who.scope) return html`<${Login} />`;
  return html`<${Frame} who=${who} />`;
}

function Frame({ who }) {
  const route = useRoute();
  const [live, setLive] = useState(true);
  useEffect(() => listen((event) => event.kind === "state" && setLive(isLive())), []);
  const dead = useLoaded(() => get("/dead-letters/causes"), [], { within: COUNTED_WITHIN });
  const open = (dead.value?.items ?? []).reduce((sum, cause) => sum + cause.count, 0);
  const view = VIEWS.map(([pattern, show]) => [pattern.exec(route.path), show]).find(([found]) => found);
  // Whoever follows a link by keyboard begins at the new page's title.
  const first = useRef(true);
  useEffect(() => {
    if (!first.current) document.getElementById("title")?.focus({ preventScroll: true });
    first.current = false;
    scrollTo(0, 0);
  }, [route.path]);
  return html`<a class="skip" href="#main">To the content</a>
    <div class="frame">
      <div class="side">
        <a class="brand" ...${link("/")} aria-label="postq"><${Sign} /><span>postq</span></a>
        <nav aria-label="Pages"><ul>
          ${PLACES.map(([path, word, icon]) => html`<li><a ...${link(path)} aria-current=${isHere(path, route.path) ? "page" : undefined}>
            <${Icon} name=${icon} /><span class="word">${word}</span>
            ${path === "/dead-letters" && open > 0 && html` <span class="badge bad count">${open}</span>`}
          </a></li>`)}
        </ul></nav>
        <div class="foot">
          <span>${who.scope === "read" ? "You may look, and change nothing" : who.name ? `Scope: ${who.scope}` : "No token was made yet: whoever is on this machine may do everything"}</span>
          ${who.name && html`<button type="button" class="btn small" onClick=${() => leave().catch((problem) => toast(problem.message, "bad"))}><${Icon} name="sign_out" />Sign out</button>`}
        </div>
      </div>
      <div>
        ${!live && html`<div class="lost" role="status">postq does not answer; this page goes on as soon as it is back</div>`}
        <main id="main" tabindex="-1" data-scope=${who.scope}>${view ? view[1](view[0], route.query) : html`<${Nowhere} />`}</main>
      </div>
    </div>
    <${Toasts} />`;
}

const modules = new Map();
let failures = 0;

/** A view of a module that is fetched when it is first shown. */
function later(file, name) {
  return (props) => {
    const [module, setModule] = useState(modules.get(file));
    return module ? html`<${module[name]} ...${props} />` : html`<${Fetching} file=${file} onThere=${setModule} />`;
  };
}

function Fetching({ file, onThere }) {
  const loaded = useLoaded(() => fetched(file), [], { live: false });
  useEffect(() => {
    if (!loaded.value) return undefined;
    onThere(loaded.value);
    // The page has its title only now: see `Frame`.
    const timer = setTimeout(() => document.activeElement.closest("main, dialog") ?? document.getElementById("title")?.focus({ preventScroll: true }));
    return () => clearTimeout(timer);
  }, [loaded.value]);
  return loaded.error ? html`<${Trouble} error=${loaded.error} />` : html`<${Busy} />`;
}

async function fetched(file) {
  try {
    // What could not be fetched once is not asked for again under the same address.
    modules.set(file, await import(`./views/${file}.js${failures ? `?${failures}` : ""}`));
  } catch {
    failures += 1;
    throw new Refused(UNREACHABLE);
  }
  return modules.get(file);
}

function isHere(path, now) {
  if (path === "/posts" && now.startsWith("/jobs/")) return true;
  if (path === "/analytics" && now.startsWith("/publications/")) return true;
  return path === "/" ? now === "/" : now.startsWith(path);
}

function Nowhere() {
  return html`<${Head} title="There is no such page" /><div class="card empty"><p>The address leads nowhere here.</p><button type="button" class="btn" onClick=${() => go("/")}>To the calendar</button></div>`;
}

render(html`<${App} />`, document.getElementById("app"));
