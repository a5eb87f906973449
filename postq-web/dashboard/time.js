// Times: kept in UTC, shown in the viewer's zone, or in one that is named.

export const here = Intl.DateTimeFormat().resolvedOptions().timeZone;

const theirs = Intl.DateTimeFormat().resolvedOptions().locale;
const cycle = new Intl.DateTimeFormat(theirs, { hour: "numeric" }).resolvedOptions().hourCycle;

/** The page is in English, and so are its dates; the clock and the first day of the week are the viewer's. */
const english = theirs.startsWith("en") ? theirs : `en-GB-u-hc-${cycle}`;

const cache = new Map();

function format(options, zone = here) {
  const key = JSON.stringify([options, zone]);
  if (!cache.has(key)) cache.set(key, new Intl.DateTimeFormat(english, { ...options, timeZone: zone }));
  return cache.get(key);
}

function weekFrom() {
  const locale = new Intl.Locale(theirs);
  return (locale.getWeekInfo?.() ?? locale.weekInfo)?.firstDay ?? 1;
}

/** The day that a week begins with: 1 is Monday, 7 is Sunday. */
export const firstDay = weekFrom();

export const clock = (at, zone) => format({ hour: "numeric", minute: "2-digit" }, zone).format(new Date(at));
export const day = (at, zone) => format({ weekday: "short", day: "numeric", month: "short" }, zone).format(new Date(at));
export const long = (at, zone) =>
  format({ weekday: "short", day: "numeric", month: "short", year: "numeric", hour: "2-digit", minute: "2-digit", second: "2-digit", timeZoneName: "short" }, zone).format(new Date(at));
/** A moment that somebody plans for: to the minute, with the zone's name where it is not the viewer's. */
export function moment(at, zone = here) {
  const year = new Date(at).getFullYear() === new Date().getFullYear() ? {} : { year: "numeric" };
  const name = zone === here ? {} : { timeZoneName: "short" };
  return format({ weekday: "short", day: "numeric", month: "short", ...year, hour: "numeric", minute: "2-digit", ...name }, zone).format(new Date(at));
}

export const weekdayName = (at, zone) => new Intl.DateTimeFormat("en", { weekday: "long", timeZone: zone }).format(new Date(at));
export const weekday = (at, zone) => format({ weekday: "short" }, zone).format(new Date(at));
export const month = (at, zone) => format({ month: "long", year: "numeric" }, zone).format(new Date(at));
export const zoneName = (zone) => format({ timeZoneName: "short" }, zone).formatToParts(new Date()).find((part) => part.type === "timeZoneName")?.value ?? zone;

const UNITS = [["day", 86400], ["hour", 3600], ["minute", 60], ["second", 1]];
const relative = new Intl.RelativeTimeFormat(english, { numeric: "auto" });

/** "in 5 minutes", "2 days ago". */
export function ago(at, now = Date.now()) {
  const seconds = Math.round((new Date(at) - now) / 1000);
  const [unit, size] = UNITS.find(([, size]) => Math.abs(seconds) >= size) ?? UNITS[3];
  return relative.format(Math.trunc(seconds / size), unit);
}

/** The parts of a moment in a zone: `{year, month, day, hour, minute}`. */
export function parts(at, zone = here) {
  const all = format({ year: "numeric", month: "numeric", day: "numeric", hour: "numeric", minute: "numeric", hourCycle: "h23" }, zone).formatToParts(new Date(at));
  return Object.fromEntries(all.filter((part) => part.type !== "literal").map((part) => [part.type, Number(part.value)]));
}

/** Whether there is a zone of that name. */
export function isZone(name) {
  try {
    return Boolean(name) && Boolean(format({ hour: "numeric" }, name));
  } catch {
    return false;
  }
}

const two = (n) => String(n).padStart(2, "0");

/** `2026-03-08` of a moment in a zone. */
export function dateOf(at, zone) {
  const { year, month, day } = parts(at, zone);
  return `${year}-${two(month)}-${two(day)}`;
}

/** `2026-03-08T09:00` of a moment in a zone: what a field for a local time takes. */
export function localOf(at, zone) {
  const { hour, minute } = parts(at, zone);
  return `${dateOf(at, zone)}T${two(hour)}:${two(minute)}`;
}

/** The date so many days after `2026-03-08`. */
export function plusDays(date, days) {
  const at = new Date(`${date}T12:00:00Z`);
  at.setUTCDate(at.getUTCDate() + days);
  return at.toISOString().slice(0, 10);
}

/** The moment at which it is `2026-03-08T09:00` in a zone. */
export function startAt(local, zone = here) {
  const wanted = Date.parse(`${local}Z`);
  // Off by the zone's offset, which may change near that very moment: twice is enough.
  let guess = wanted;
  for (let n = 0; n < 2; n += 1) {
    const { year, month, day, hour, minute } = parts(guess, zone);
    guess += wanted - Date.UTC(year, month - 1, day, hour, minute);
  }
  return new Date(guess);
}

/** The moment at which a date begins in a zone. */
export const startOf = (date, zone = here) => startAt(`${date}T00:00`, zone);
