import { accountsById, get, patch, post } from "../api.js";
import { html, useEffect, useState } from "../dom.js";
import { Icon } from "../icons.js";
import { link } from "../route.js";
import { may } from "../session.js";
import { clock, dateOf, day, firstDay, here, localOf, moment, month, plusDays, startAt, startOf, weekday, zoneName } from "../time.js";
import { Dialog, Empty, Field, Head, Loaded, State, Tabs, Trouble, gist, nameOf, toast, useLoaded } from "../ui.js";

const SPANS = [["month", "Month"], ["week", "Week"], ["list", "List"]];

/** The dates that are shown: whole weeks, from the day on that the viewer’s begin with. */
function dates(span, date) {
  if (span === "list") return Array.from({ length: 30 }, (_, n) => plusDays(date, n));
  const first = span === "month" ? `${date.slice(0, 8)}01` : date;
  const into = (new Date(`${first}T12:00:00Z`).getUTCDay() + 7 - firstDay) % 7;
  const start = plusDays(first, -into);
  if (span === "week") return Array.from({ length: 7 }, (_, n) => plusDays(start, n));
  const days = Array.from({ length: 42 }, (_, n) => plusDays(start, n));
  return days[35].slice(0, 7) === first.slice(0, 7) ? days : days.slice(0, 35);
}

export function Calendar() {
  const [span, setSpan] = useState(() => (innerWidth < 760 ? "list" : "month"));
  const [date, setDate] = useState(() => dateOf(Date.now()));
  const [moving, setMoving] = useState();
  const days = dates(span, date);
  const loaded = useLoaded(async () => {
    const [calendar, accounts] = await Promise.all([
      get("/calendar", { from: startOf(days[0]).toISOString(), until: startOf(plusDays(days.at(-1), 1)).toISOString() }),
      accountsById(),
    ]);
    return { ...calendar, accounts };
  }, [days[0], days.length]);
  const step = (n) => setDate(span === "month" ? monthAfter(date, n) : plusDays(date, n * (span === "week" ? 7 : 30)));
  const move = async (entry, to) => {
    try {
      await moved(entry, to.toISOString());
      toast(`Moved to ${moment(to)}`);
      setMoving();
      loaded.again();
    } catch (error) {
      setMoving({ ...entry, error });
    }
  };
  const drop = (entry, onto) => move(entry, startAt(`${onto}T${localOf(entry.at).slice(11)}`));
  return html`<${Head} title="Calendar">
      <${Tabs} label="Span" of=${SPANS} now=${span} onPick=${setSpan} />
      <div class="row"><button type="button" class="btn small" aria-label="Earlier" onClick=${() => step(-1)}><${Icon} name="left" /></button>
        <button type="button" class="btn small" onClick=${() => setDate(dateOf(Date.now()))}>Today</button>
        <button type="button" class="btn small" aria-label="Later" onClick=${() => step(1)}><${Icon} name="right" /></button></div>
      ${may("write") && html`<a class="btn main" ...${link("/compose")}><${Icon} name="plus" />Write a post</a>`}
    <//>
    <p class="row muted small bar" aria-live="polite"><strong class="period">${span === "month" ? month(`${date.slice(0, 8)}15T12:00:00Z`) : `${day(startOf(days[0]))} – ${day(startOf(days.at(-1)))}`}</strong><span>Times in ${here} (${zoneName(here)})</span></p>
    <${Loaded} of=${loaded}>${(value) => html`
      ${value.accounts.size === 0 ? html`<${Welcome} />` : span === "list" ? html`<${List} days=${days} ...${value} onMove=${setMoving} />` : html`<${Grid} span=${span} days=${days} date=${date} ...${value} onMove=${setMoving} onDrop=${drop} />`}
      ${span !== "list" && may("write") && value.items.some((entry) => entry.movable) && html`<p class="hint">Drag a post to another day to move it; by keyboard, press M on it.</p>`}
      ${value.is_cut && html`<p class="note warn"><span>There is more than can be shown at once; look at a shorter span.</span></p>`}`}<//>
    ${moving && html`<${Move} entry=${moving} onClose=${() => setMoving()} onMove=${move} />`}`;
}

function monthAfter(date, n) {
  const at = new Date(`${date.slice(0, 8)}01T12:00:00Z`);
  at.setUTCMonth(at.getUTCMonth() + n);
  return at.toISOString().slice(0, 10);
}

/** Gives a post that goes out once another time; of one that goes out again and again, this one time. */
const moved = (entry, at) => entry.occurrence
  ? post(`/schedules/${entry.schedule_id}/edit-occurrence`, { at: entry.occurrence, to: at })
  : patch(`/schedules/${entry.schedule_id}`, { schedule: { kind: "one_shot", at } });

/** From nothing to the first published post. */
function Welcome() {
  return html`<${Empty} title="Your first post, in three steps" icon="calendar">
    <ol class="steps"><li><a ...${link("/accounts")}>Connect an account</a>; a dry run needs no token and sends nothing.</li>
      <li><a ...${link("/compose")}>Write a post</a>, and see what each platform makes of it.</li><li>Publish it now, or give it a time. Here is where you see it go out.</li></ol>
    <a class="btn main" ...${link("/accounts")}>Connect an account</a><//>`;
}

/** What tells an entry from all others. */
const identity = (entry) => `${entry.schedule_id} ${entry.at} ${entry.job_id}`;

function byDay(days, items) {
  const found = new Map(days.map((date) => [date, []]));
  for (const entry of items) found.get(dateOf(entry.at))?.push(entry);
  return found;
}

const names = (entry, accounts) => entry.accounts.map((id) => nameOf(accounts, id));

/** A schedule whose zone is another than the viewer's says its own time as well. */
const zoned = (entry) => (entry.tz && entry.tz !== here ? `${clock(entry.at, entry.tz)} in ${entry.tz}` : "");

function Grid({ span, days, date, items, accounts, onMove, onDrop }) {
  const [whole, setWhole] = useState(new Set());
  const found = byDay(days, items);
  const today = dateOf(Date.now());
  const most = (date) => (span === "month" && !whole.has(date) ? 3 : 200);
  const over = (event) => {
    event.preventDefault();
    event.dataTransfer.dropEffect = "move";
  };
  const dropped = (onto) => (event) => {
    event.preventDefault();
    // It may be anything that was dropped, and the entries may be others by now.
    const id = event.dataTransfer.getData("text/postq");
    const entry = items.find((one) => identity(one) === id);
    if (entry?.movable) onDrop(entry, onto);
  };
  return html`<div class="scroll"><div class=${`grid-days ${span}`}>
    ${days.slice(0, 7).map((date) => html`<div class="weekday" key=${date} aria-hidden="true">${weekday(startOf(date))}</div>`)}
    ${days.map((one) => html`<section key=${one} class=${`day ${one === today ? "today" : ""} ${span === "month" && one.slice(0, 7) !== date.slice(0, 7) ? "other" : ""}`} aria-label=${day(startOf(one))} onDragOver=${over} onDrop=${dropped(one)}>
      <div class="row"><span class="number">${Number(one.slice(8))}</span><span class="space"></span>${may("write") && one >= today && html`<a class="add" ...${link(`/compose?at=${one}T09:00`)} aria-label=${`Write a post for ${day(startOf(one))}`}><${Icon} name="plus" /></a>`}</div>
      <ul>${found.get(one).slice(0, most(one)).map((entry) => html`<${Entry} key=${identity(entry)} entry=${entry} accounts=${accounts} onMove=${onMove} />`)}</ul>
      ${found.get(one).length > most(one) && html`<button type="button" class="more" onClick=${() => setWhole(new Set([...whole, one]))}>${found.get(one).length - most(one)} more</button>`}
    </section>`)}
  </div></div>`;
}

function Entry({ entry, accounts, onMove }) {
  const begin = (event) => event.dataTransfer.setData("text/postq", identity(entry));
  const keys = (event) => {
    if (entry.movable && (event.key === "m" || event.key === "M")) {
      event.preventDefault();
      onMove(entry);
    }
  };
  const canMove = entry.movable && may("write");
  return html`<li class=${`entry ${entry.state}`} draggable=${canMove ? "true" : undefined} onDragStart=${begin}>
    <a ...${link(place(entry))} draggable="false" onKeyDown=${keys} aria-keyshortcuts=${canMove ? "M" : undefined} title=${`${moment(entry.at)} ${zoned(entry)}`}>
      <span class="mark"><${State} of=${entry.state} /></span>
      <time datetime=${entry.at}>${clock(entry.at)}</time> <span class="what" dir="auto">${gist([{ text: entry.text }], 40)}</span>
      <span class="who">${names(entry, accounts).join(", ")}</span>
    </a></li>`;
}

/** Where one sees more of it: its job if there is one, else the post. */
const place = (entry) => (entry.job_id ? `/jobs/${entry.job_id}` : `/posts/${entry.post_id}`);

function List({ days, items, accounts, onMove }) {
  const found = [...byDay(days, items)].filter(([, entries]) => entries.length);
  if (!found.length) return html`<${Empty} title="Nothing in these days" icon="calendar">${may("write") && html`<a class="btn main" ...${link("/compose")}>Write a post</a>`}<//>`;
  return html`<div class="stack wide">${found.map(([date, entries]) => html`<section class="stack" key=${date} aria-label=${day(startOf(date))}><h2>${day(startOf(date))}</h2>
    <ul class="card flush">${entries.map((entry) => html`<li class="line" key=${identity(entry)}>
      <time datetime=${entry.at}>${clock(entry.at)}</time><${State} of=${entry.state} />
      <span class="grow"><a ...${link(place(entry))}>${gist([{ text: entry.text }])}</a><br /><span class="small muted">${names(entry, accounts).join(", ")} ${zoned(entry)}</span></span>
      ${entry.movable && may("write") && html`<button type="button" class="btn small" onClick=${() => onMove(entry)}>Move</button>`}</li>`)}</ul></section>`)}</div>`;
}

function Move({ entry, onClose, onMove }) {
  const [at, setAt] = useState(localOf(entry.at));
  useEffect(() => setAt(localOf(entry.at)), [entry.schedule_id]);
  const submit = (event) => {
    event.preventDefault();
    onMove(entry, startAt(at));
  };
  return html`<${Dialog} title="Move this post" onClose=${onClose}><form class="stack" onSubmit=${submit}>
    <p class="text">${gist([{ text: entry.text }])}</p><${Trouble} error=${entry.error} />
    <${Field} id="move-at" label=${`Date and time in ${here}`} hint=${zoned(entry)}>${(about) => html`<input ...${about} type="datetime-local" required value=${at} onInput=${(event) => setAt(event.target.value)} />`}<//>
    <div class="row end"><button type="button" class="btn" onClick=${onClose}>Cancel</button><button class="btn main">Move</button></div></form><//>`;
}
