// One text of a post with its pictures and videos: written, pasted, dropped.

import { Refused, unique } from "../api.js";
import { html, useEffect, useRef, useState } from "../dom.js";
import { Icon } from "../icons.js";
import { Thumb, facts, size } from "../media.js";
import { upload } from "../upload.js";
import { Trouble, platformName } from "../ui.js";

/** What is offered first in the window to choose files; what a file really is the server tells by its content. */
const KINDS = "image/jpeg,image/png,image/gif,image/webp,video/mp4,video/quicktime";

/** Files that are added at once. */
const MOST_AT_ONCE = 20;

/**
 * The files that are on their way, by the keys of their places in the form: `{file, sent, error}`. `change` is
 * given what becomes of a place: what is known of its file once that is there.
 */
export function useUploads(change) {
  const [all, setAll] = useState(new Map());
  const stops = useRef(new Map());
  const set = (key, value) => setAll((old) => {
    const next = new Map(old);
    if (value) next.set(key, { ...next.get(key), ...value });
    else next.delete(key);
    return next;
  });
  useEffect(() => () => stops.current.forEach((stop) => stop.abort()), []);
  const start = async (key, file) => {
    const stop = new AbortController();
    stops.current.set(key, stop);
    set(key, { file, sent: 0, error: undefined });
    try {
      const { source, kind, mime, bytes, width, height, duration, frames, located, alt } = await upload(file, { onSent: (sent) => set(key, { sent }), signal: stop.signal });
      change(key, (old) => ({ ...old, source, kind, mime, bytes, width, height, duration, frames, located, alt: old.alt || alt || "" }));
      set(key);
    } catch (error) {
      if (!stop.signal.aborted) set(key, { error: error instanceof Refused ? error : new Refused({ title: error.message }) });
    }
    stops.current.delete(key);
  };
  const drop = (key) => {
    stops.current.get(key)?.abort();
    set(key);
  };
  return { all, start, drop };
}

/** Places for files that are added; each has its key from here on. */
const placesFor = (files) => files.map((file) => ({ key: unique(), name: file.name || "from the clipboard", bytes: file.size, alt: "" }));

export function Part({ n, of, part, wrong, counts, uploads, onChange, onGone }) {
  const id = `part-${n}`;
  const [isOver, setOver] = useState(false);
  const media = part.media ?? [];
  const add = (list) => {
    const files = [...list].slice(0, MOST_AT_ONCE);
    const places = placesFor(files);
    onChange((old) => ({ ...old, media: [...(old.media ?? []), ...places] }));
    places.forEach((one, at) => uploads.start(one.key, files[at]));
  };
  const setMedia = (change) => onChange((old) => ({ ...old, media: change(old.media ?? []) }));
  const hasFiles = (event) => [...event.dataTransfer.types].includes("Files");
  const over = (event) => {
    if (!hasFiles(event)) return;
    event.preventDefault();
    setOver(true);
  };
  const dropped = (event) => {
    setOver(false);
    if (!hasFiles(event)) return;
    event.preventDefault();
    add(event.dataTransfer.files);
  };
  const pasted = (event) => {
    if (!event.clipboardData.files.length) return;
    event.preventDefault();
    add(event.clipboardData.files);
  };
  const gone = () => {
    media.forEach((one) => uploads.drop(one.key));
    onGone();
  };
  return html`<div class=${`part ${isOver ? "over" : ""}`} onDragOver=${over} onDragLeave=${() => setOver(false)} onDrop=${dropped}>
    <div class="row"><label class="grow" for=${id}>${of > 1 ? `Part ${n + 1} of ${of}` : "Text"}</label>
      ${of > 1 && html`<button type="button" class="btn quiet small" onClick=${gone} aria-label=${`Remove part ${n + 1}`}>Remove</button>`}</div>
    <textarea id=${id} dir="auto" rows=${of > 1 ? 3 : 6} value=${part.text} onInput=${(event) => onChange((old) => ({ ...old, text: event.target.value }))} onPaste=${pasted} aria-invalid=${wrong.length ? "true" : undefined} aria-describedby=${`${id}-about`}></textarea>
    <div id=${`${id}-about`} aria-live="polite"><p class="hint counts">${counts.map((one) => html`<span class=${one.length > one.limit ? "wrong" : ""}>${platformName(one.platform)} ${one.length} / ${one.limit}</span>`)}</p>
      ${wrong.map((one) => html`<p class="wrong">${platformName(one.platform)}: ${one.message}</p>`)}</div>
    ${media.length > 0 && html`<${Files} media=${media} uploads=${uploads} label=${of > 1 ? `Files of part ${n + 1}` : "Files"} setMedia=${setMedia} />`}
    <${Choose} label=${of > 1 ? `Add pictures or videos to part ${n + 1}` : "Add pictures or videos"} onFiles=${add} />
  </div>`;
}

/** The button for files. A field for files cannot be made to look like the others: it is there, and not seen. */
function Choose({ label, onFiles }) {
  const input = useRef();
  const chosen = (event) => {
    onFiles(event.target.files);
    // The same file may be chosen again.
    event.target.value = "";
  };
  return html`<div class="row"><button type="button" class="btn small" onClick=${() => input.current.click()}><${Icon} name="picture" />${label}</button>
    <span class="hint">or drop or paste them</span>
    <input ref=${input} type="file" multiple accept=${KINDS} hidden aria-label=${label} onChange=${chosen} /></div>`;
}

function Files({ media, uploads, label, setMedia }) {
  const [said, say] = useState("");
  const move = (at, by) => {
    const { key } = media[at];
    setMedia((old) => {
      const next = [...old];
      next.splice(at + by, 0, ...next.splice(at, 1));
      return next;
    });
    say(`${media[at].name ?? "It"} is now ${at + by + 1} of ${media.length}`);
    // The element moves with its file, and loses the focus on the way.
    const edge = at + by === 0 || at + by === media.length - 1;
    setTimeout(() => document.getElementById(`${key}-${edge ? (by < 0 ? "later" : "earlier") : by < 0 ? "earlier" : "later"}`)?.focus());
  };
  const gone = (one) => {
    uploads.drop(one.key);
    setMedia((old) => old.filter((other) => other.key !== one.key));
    say(`${one.name ?? "It"} is removed`);
  };
  return html`<ol class="files" aria-label=${label}>${media.map((one, at) => html`<${File} key=${one.key} one=${one} at=${at} of=${media.length} upload=${uploads.all.get(one.key)}
      onAlt=${(alt) => setMedia((old) => old.map((other) => (other.key === one.key ? { ...other, alt } : other)))} onMove=${(by) => move(at, by)} onGone=${() => gone(one)}
      onAgain=${() => uploads.start(one.key, uploads.all.get(one.key).file)} />`)}</ol>
    <p class="only-read" role="status">${said}</p>`;
}

/** Its sending was ended with another text of the same post that had it too. */
const LOST = new Refused({ title: "It was not sent", remedy: "remove it, and add it again" });

function File({ one, at, of, upload, onAlt, onMove, onGone, onAgain }) {
  const { key, source } = one;
  const error = upload?.error ?? (source || upload ? undefined : LOST);
  const name = one.name ?? `file ${at + 1}`;
  const hint = !one.alt && `${key}-alt-hint`;
  return html`<li class="attaching">
    ${source ? html`<${Thumb} source=${source} alt=${one.alt} mime=${one.mime} />` : html`<span class="thumb file"><${Icon} name=${error ? "failed" : "picture"} /></span>`}
    <div class="stack tight grow">
      <div class="row"><span class="grow"><strong>${name}</strong> <span class="small muted">${facts(one)}</span></span>
        ${of > 1 && html`<button type="button" class="btn quiet small" id=${`${key}-earlier`} disabled=${at === 0} aria-label=${`Move ${name} up`} onClick=${() => onMove(-1)}><${Icon} name="up" /></button>
          <button type="button" class="btn quiet small" id=${`${key}-later`} disabled=${at === of - 1} aria-label=${`Move ${name} down`} onClick=${() => onMove(1)}><${Icon} name="down" /></button>`}
        <button type="button" class="btn quiet small" aria-label=${`Remove ${name}`} onClick=${onGone}>Remove</button></div>
      ${!source && !error && html`<div class="row"><progress class="grow" value=${upload.sent} max="1" aria-label=${`Sending ${name}`}></progress><span class="small muted">${size(upload.sent * one.bytes)} of ${size(one.bytes)}</span></div>`}
      ${error && html`<${Trouble} error=${{ message: error.message, remedy: error.remedy }} />
        ${upload?.error.isPassing && html`<div class="row"><button type="button" class="btn small" onClick=${onAgain}>Send it again</button></div>`}`}
      ${!error && html`<div><label for=${`${key}-alt`}>What ${name} shows</label>
        <textarea id=${`${key}-alt`} rows="2" dir="auto" value=${one.alt ?? ""} aria-describedby=${hint || undefined} onInput=${(event) => onAlt(event.target.value)}></textarea>
        ${hint && html`<p class="hint" id=${hint}>Describe it for those who cannot see it; it goes out without a description otherwise.</p>`}</div>`}
    </div></li>`;
}
