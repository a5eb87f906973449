// Drawn on a grid of 24, in the colour of the text beside them.

import { html } from "./dom.js";

const PATHS = {
  calendar: "M4 6h16v14H4zM4 10h16M8 3v4M16 3v4",
  compose: "M4 20l1-4L16 5l3 3L8 19zM14 7l3 3",
  posts: "M5 4h14v16H5zM9 9h6M9 13h6",
  queue: "M4 6h16M4 12h16M4 18h10",
  dead: "M12 4l9 16H3zM12 10v4M12 17v.5",
  analytics: "M4 20h16M7 16v-5M12 16V5M17 16V9",
  picture: "M4 5h16v14H4zM4 16l5-5 4 4 3-3 4 4M15.500 9v.1",
  accounts: "M12 12a4 4 0 100-8 4 4 0 000 8zM4 21c0-4 4-6 8-6s8 2 8 6",
  nodes: "M4 5h16v5H4zM4 14h16v5H4zM8 7.5v.1M8 16.500v.1",
  settings: "M5 7h8M17 7h2M5 17h2M11 17h8M15 5v4M9 15v4",
  waiting: "M12 21a9 9 0 100-18 9 9 0 000 18zM12 7v5l3 2",
  running: "M8 5l11 7-11 7z",
  out: "M5 13l4 4L19 7",
  failed: "M6 6l12 12M18 6L6 18",
  held: "M9 5v14M15 5v14",
  off: "M6 12h12",
  draft: "M6 3h8l4 4v14H6zM14 3v4h4",
  again: "M4 12a8 8 0 0114-5l2 2M20 4v5h-5M20 12a8 8 0 01-14 5l-2-2M4 20v-5h5",
  plus: "M12 5v14M5 12h14",
  left: "M15 5l-7 7 7 7",
  right: "M9 5l7 7-7 7",
  star: "M12 4l2.500 5 5.500.8-4 3.900 1 5.500-5-2.600-5 2.600 1-5.500-4-3.900 5.500-.8z",
  up: "M5 15l7-7 7 7",
  down: "M5 9l7 7 7-7",
  out_link: "M14 4h6v6M20 4l-9 9M18 14v6H4V6h6",
  copy: "M9 9h11v11H9zM5 15H4V4h11v1",
  sign_out: "M10 4H4v16h6M14 8l4 4-4 4M18 12H9",
};

export function Icon({ name }) {
  return html`<svg viewBox="0 0 24 24" fill="none" stroke="currentColor" stroke-width="2" stroke-linecap="round" stroke-linejoin="round" aria-hidden="true"><path d=${PATHS[name]} /></svg>`;
}

/** The sign of the program: a queue whose first goes out. */
export function Sign() {
  return html`<svg viewBox="0 0 24 24" fill="none" aria-hidden="true"><rect x="2" y="2" width="20" height="20" rx="6" fill="var(--accent)" /><path d="M7 16h5M7 12h8M7 8h4M14 8l3 0M17 8l-2-2M17 8l-2 2" stroke="var(--accent-ink)" stroke-width="1.8" stroke-linecap="round" /></svg>`;
}
