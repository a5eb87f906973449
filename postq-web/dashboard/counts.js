// What platforms count, in words that people know.

const AGES = [[86400, "d", "day"], [3600, "h", "hour"], [60, "min", "minute"]];

/** `like_count` -> `Likes`. */
export function countName(name) {
  const words = name.replace(/_count$/, "").replaceAll("_", " ");
  const many = name.endsWith("_count") ? words.replace(/y$/, "ie").replace(/s?$/, "s") : words;
  return many.replace(/^./, (first) => first.toUpperCase());
}

/** The names of some counts: those that say most come first. */
export function ordered(names) {
  const weight = (name) => (/impression|view|reach/.test(name) ? 0 : /like|favo/.test(name) ? 1 : /repl|comment/.test(name) ? 2 : name.endsWith("_count") ? 3 : 4);
  return [...new Set(names)].sort((a, b) => weight(a) - weight(b) || a.localeCompare(b));
}

/** `90` -> `2 min`, `90000` -> `1 d`: how old something is, in one unit. */
export function age(seconds) {
  const [size, unit] = AGES.find(([size]) => seconds >= size * 0.95) ?? AGES[2];
  return `${Math.max(1, Math.round(seconds / size))} ${unit}`;
}

/** The same in a sentence. */
export function span(seconds) {
  const [size, , word] = AGES.find(([size]) => seconds >= size * 0.95) ?? AGES[2];
  const many = Math.max(1, Math.round(seconds / size));
  return `${many} ${word}${many === 1 ? "" : "s"}`;
}

/** How a post is shown on its platform, of its last count. */
export const STANDINGS = { shown: ["good", "Shown", "out"], hidden: ["warn", "Hidden", "held"], deleted: ["bad", "Deleted", "failed"] };
