// What happens, as it happens: one stream for the whole page.

import { mount } from "./api.js";

const listeners = new Set();
const KINDS = ["job.succeeded", "job.retrying", "job.waiting", "job.dead", "job.missed", "platform.event", "reset"];

/** A stream that is away for less is not worth a word: it comes back by itself with all that was missed. */
const PATIENCE = 3000;

/** A stream that the browser has given up is opened again after so long. */
const AGAIN_AFTER = 3000;

let source;
let timer;
let again;
let isAway = false;

/** Calls back with each event, and with `{kind: "state"}` when the stream is gone, and when it is there or back. */
export function listen(callback) {
  listeners.add(callback);
  if (!source && !document.hidden) open();
  return () => listeners.delete(callback);
}

export const isLive = () => !isAway;

// A browser has six connections to a server for all its tabs: those that nobody sees need none.
document.addEventListener("visibilitychange", () => {
  if (document.hidden) shut();
  else if (!source && listeners.size) open();
});

/** Nobody is signed in: the stream belonged to a session. */
export function leave() {
  shut();
  clearTimeout(timer);
  timer = undefined;
  isAway = false;
}

function restart() {
  shut();
  if (listeners.size && !document.hidden) open();
}

function shut() {
  source?.close();
  source = undefined;
  clearTimeout(again);
}

function open() {
  // The browser reconnects by itself and says what it has seen last, unless it was refused.
  source = new EventSource(`${mount}/api/events`);
  let isNew = true;
  source.onopen = () => {
    there(isNew);
    isNew = false;
  };
  source.onerror = () => {
    timer ??= setTimeout(gone, PATIENCE);
    if (source?.readyState !== EventSource.CLOSED) return;
    again = setTimeout(restart, AGAIN_AFTER);
    // It does not say why it was refused: perhaps the session is over.
    dispatchEvent(new Event("signed-out"));
  };
  for (const kind of KINDS) {
    source.addEventListener(kind, (event) => tell({ kind, data: JSON.parse(event.data) }));
  }
}

function there(isNew) {
  clearTimeout(timer);
  timer = undefined;
  // What the browser has opened again brings what was missed. A new stream does not: what happened between the first
  // look at a list and now is in neither, so that all lists are looked at again.
  if (!isAway && !isNew) return;
  isAway = false;
  tell({ kind: "state", isBack: true });
}

function gone() {
  isAway = true;
  tell({ kind: "state", isBack: false });
}

function tell(event) {
  for (const listener of [...listeners]) listener(event);
}
