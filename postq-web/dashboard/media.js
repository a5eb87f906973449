// Pictures and videos of posts, as they are shown.

import { mount } from "./api.js";
import { html, useEffect, useState } from "./dom.js";
import { Icon } from "./icons.js";

/** Where the content of a file is that was added here; nothing for one of the web. */
function place(source) {
  const id = /^media:([0-9a-f]{64})$/.exec(source)?.[1];
  return id && `${mount}/api/media/${id}`;
}

/** `4.2 MB`. */
export function size(bytes) {
  const units = ["B", "kB", "MB", "GB"];
  const power = Math.min(Math.floor(Math.log10(Math.max(bytes, 1)) / 3), units.length - 1);
  const many = bytes / 1000 ** power;
  return `${many < 10 && power > 0 ? many.toFixed(1) : Math.round(many)} ${units[power]}`;
}

/** What is known of a file, in a few words. */
export function facts({ kind, bytes, width, height, duration, frames }) {
  const length = duration ? `${duration < 10 ? duration.toFixed(1) : Math.round(duration)} s` : frames > 1 && `${frames} pictures`;
  return [kind?.toUpperCase(), width && `${width} × ${height}`, length, bytes && size(bytes)].filter(Boolean).join(", ");
}

/** What a source is called where nothing else is known of it. */
const called = (source) => (source.startsWith("media:") ? `${source.slice(0, 14)}…` : source);

/** Asks what it is, where that was not told: a video is shown by another element. */
function useIsVideo(url, mime) {
  const [type, setType] = useState(mime);
  useEffect(() => {
    if (!url || mime) return undefined;
    let over = false;
    fetch(url, { method: "HEAD", credentials: "same-origin" }).then((answer) => !over && setType(answer.ok ? answer.headers.get("content-type") : "none"), () => {});
    return () => {
      over = true;
    };
  }, [url]);
  return mime ?? type;
}

/** A file, small. Of a file of the web no more than its address is shown: nobody else is asked for anything. */
export function Thumb({ source, alt, mime }) {
  const url = place(source);
  const type = useIsVideo(url, mime);
  if (!url) return html`<span class="thumb file"><${Icon} name="picture" /></span>`;
  if (!type) return html`<span class="thumb"></span>`;
  if (type.startsWith("video/")) return html`<video class="thumb" src=${url} controls muted playsinline preload="metadata" aria-label=${alt || "A video"}></video>`;
  if (!type.startsWith("image/")) return html`<span class="thumb file" title="the file is not there any more"><${Icon} name="picture" /></span>`;
  return html`<img class="thumb" src=${url} alt=${alt || ""} loading="lazy" decoding="async" />`;
}

/** The pictures and videos of a part, with what they show. */
export function Attached({ media }) {
  if (!media?.length) return null;
  return html`<ul class="attached">${media.map((one) => html`<li key=${one.source}><${Thumb} ...${one} />
    <span class="small">${one.alt || html`<span class="muted">no description</span>`}${!place(one.source) && html` <span class="muted mono">${called(one.source)}</span>`}</span></li>`)}</ul>`;
}
