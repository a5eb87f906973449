// Charts, drawn by hand: told apart by shapes and words, and each with its numbers as a table.

import { html, useEffect, useRef, useState } from "./dom.js";

const grouped = new Intl.NumberFormat("en", { maximumFractionDigits: 1 });

/** `1,234`; a dash where nobody counted. */
export const number = (value) => (value === undefined || value === null ? "–" : grouped.format(value));

const short = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });

const HEIGHT = 228;
const EDGE = { left: 52, right: 16, top: 24, bottom: 28 };

/** Lines are told apart by their marks, their dashes and the letters at their ends. */
const DASHES = ["", "7 4", "2 4", "10 3 2 3", "14 5", "4 2"];
const MARKS = [
  "M-4 0a4 4 0 108 0a4 4 0 10-8 0z",
  "M-4-4h8v8h-8z",
  "M0-5l5 9h-10z",
  "M0-6l5 6l-5 6l-5-6z",
  "M-4-4l8 8M4-4l-8 8",
  "M-5 0h10M0-5v10",
];
export const MOST_LINES = MARKS.length;
export const letter = (n) => String.fromCharCode(65 + n);

/** The steps of a scale from `least` to `most`, at most six, as people count. */
function steps(least, most) {
  const span = Math.max(most - least, 1);
  const power = 10 ** Math.floor(Math.log10(span / 4));
  const step = Math.max(1, [1, 2, 5, 10].map((n) => n * power).find((size) => span / size <= 5));
  const first = Math.floor(least / step);
  const last = Math.max(Math.ceil(most / step), first + 1);
  return Array.from({ length: last - first + 1 }, (_, n) => (first + n) * step);
}

/** How wide there is room, as the window changes. */
function useWidth() {
  const node = useRef();
  const [width, setWidth] = useState(0);
  useEffect(() => {
    const look = new ResizeObserver(([entry]) => setWidth(Math.floor(entry.contentRect.width)));
    look.observe(node.current);
    return () => look.disconnect();
  }, []);
  return [node, width];
}

/**
 * A chart with its numbers: a table of `heads` and `rows`, whose first cells are the rows' names. The drawing is
 * for eyes alone; the table is there for those who hear the page, and for all at the press of a key.
 */
export function Chart({ title, heads, rows, draw, note, children }) {
  const [isTable, setTable] = useState(false);
  const [node, width] = useWidth();
  return html`<figure class="chart">
    <figcaption class="row"><h3 class="grow">${title}</h3>${children}
      <button type="button" class="btn small" aria-pressed=${String(isTable)} onClick=${() => setTable(!isTable)}>Show the numbers</button></figcaption>
    <div ref=${node} class="drawing" hidden=${isTable}>${width > 0 && draw(width)}</div>
    <div class=${isTable ? "scroll numbers" : "only-read"} tabindex=${isTable ? "0" : undefined} role="group" aria-label=${`${title}, in numbers`}><table class="table">
      <thead><tr>${heads.map((head, n) => html`<th scope="col" class=${n > 0 ? "num" : ""}>${head}</th>`)}</tr></thead>
      <tbody>${rows.map(([name, ...cells]) => html`<tr key=${name}><th scope="row">${name}</th>${cells.map((cell) => html`<td class="num">${typeof cell === "number" || cell === undefined || cell === null ? number(cell) : cell}</td>`)}</tr>`)}</tbody></table></div>
    ${note && html`<p class="hint">${note}</p>`}
  </figure>`;
}

/** The frame of a drawing: its scale, and what stands below. */
function Axes({ width, scale, y, labels }) {
  return html`${scale.map((step) => html`<g><line class=${step === 0 ? "base" : "rule"} x1=${EDGE.left} x2=${width - EDGE.right} y1=${y(step)} y2=${y(step)} />
      <text x=${EDGE.left - 8} y=${y(step)} class="scale">${short.format(step)}</text></g>`)}
    ${labels.map(({ at, word }) => html`<text x=${at} y=${HEIGHT - 8} class="below">${word}</text>`)}`;
}

/** Of many names below a drawing those for which there is room. */
function roomy(words, x, width, each) {
  const every = Math.max(1, Math.ceil((words.length * each) / (width - EDGE.left - EDGE.right)));
  // The last one is not cut off at the edge.
  const most = width - each / 2;
  return words.map((word, n) => ({ at: Math.min(x(n), most), word })).filter((_, n) => n % every === 0);
}

const heights = (scale) => (value) => EDGE.top + ((scale.at(-1) - value) / (scale.at(-1) - scale[0])) * (HEIGHT - EDGE.top - EDGE.bottom);

const drawing = (width, children) => html`<svg width=${width} height=${HEIGHT} viewBox=${`0 0 ${width} ${HEIGHT}`} aria-hidden="true">${children}</svg>`;

/** Bars: `[{name, value, mark}]`; a mark stands below the bars of which something else is to be known. */
export const bars = (items) => (width) => {
  const values = items.map((one) => one.value);
  const scale = steps(Math.min(0, ...values), Math.max(0, ...values));
  const y = heights(scale);
  const room = (width - EDGE.left - EDGE.right) / items.length;
  const x = (n) => EDGE.left + room * (n + 0.5);
  const thick = Math.max(1, Math.min(room * 0.72, 40));
  const best = values.indexOf(Math.max(...values));
  return drawing(width, html`<${Axes} width=${width} scale=${scale} y=${y} labels=${roomy(items.map((one) => one.name), x, width, 78)} />
    ${items.map(({ name, value, mark }, n) => html`<g><title>${`${name}: ${number(value)}`}</title>
      <rect class=${value < 0 ? "bar less" : "bar"} x=${x(n) - thick / 2} width=${thick} y=${Math.min(y(0), y(value))} height=${Math.abs(y(value) - y(0))} />
      ${mark && html`<path class="mark" d="M0-4l4 7h-8z" transform=${`translate(${x(n)} ${y(scale[0]) + 6})`} />`}</g>`)}
    ${values[best] > 0 && html`<text class="value" x=${x(best)} y=${y(values[best]) - 4}>${number(values[best])}</text>`}`);
};

/** Lines over the same names: `[{name, values}]`; where a value is missing the line ends or has a gap. */
export const lines = (names, series) => (width) => {
  const all = series.flatMap((one) => one.values).filter(isThere);
  const scale = steps(Math.min(0, ...all), Math.max(0, ...all));
  const y = heights(scale);
  const room = (width - EDGE.left - EDGE.right - 24) / Math.max(names.length - 1, 1);
  const x = (n) => EDGE.left + 12 + room * n;
  return drawing(width, html`<${Axes} width=${width} scale=${scale} y=${y} labels=${roomy(names, x, width, 58)} />
    ${series.map((one, n) => html`<${Line} n=${n} one=${one} x=${x} y=${y} names=${names} of=${series.length} />`)}`);
};

const isThere = (value) => value !== undefined && value !== null;

function Line({ n, one, x, y, names, of }) {
  const points = one.values.map((value, at) => ({ value, at })).filter(({ value }) => isThere(value));
  if (!points.length) return null;
  const path = points.map(({ value, at }, k) => `${k && points[k - 1].at === at - 1 ? "L" : "M"}${x(at)} ${y(value)}`).join("");
  const end = points.at(-1);
  return html`<g class=${`curve l${n}`}><path class="way" d=${path} stroke-dasharray=${DASHES[n]} />
    ${points.map(({ value, at }) => html`<path class="mark" d=${MARKS[n]} transform=${`translate(${x(at)} ${y(value)})`}><title>${`${of > 1 ? `${letter(n)}, ` : ""}${names[at]}: ${number(value)}`}</title></path>`)}
    <text class="value" x=${x(end.at)} y=${y(end.value) - 9}>${of > 1 ? letter(n) : number(end.value)}</text></g>`;
}

/** Which line is whose. */
export function Legend({ series }) {
  return html`<ul class="legend">${series.map((one, n) => html`<li key=${n}><svg width="44" height="16" viewBox="0 0 44 16" aria-hidden="true"><g class=${`curve l${n}`}><path class="way" d="M2 8h40" stroke-dasharray=${DASHES[n]} /><path class="mark" d=${MARKS[n]} transform="translate(22 8)" /></g></svg>
    <strong>${letter(n)}</strong> ${one.name}</li>`)}</ul>`;
}
