// Sending a picture or video: with progress, which `fetch` does not tell of.

import { Refused, mount } from "./api.js";

const BROKEN = { title: "The file did not come through", code: "unreachable", remedy: "send it again" };

/** Sends a file; `onSent` hears how much of it is there, from 0 to 1, and `signal` ends it. Answers what it is. */
function send(file, { onSent, signal }) {
  return new Promise((done, fail) => {
    const request = new XMLHttpRequest();
    const broken = () => fail(new Refused(BROKEN));
    request.open("POST", `${mount}/api/media`);
    request.setRequestHeader("accept", "application/json");
    request.upload.onprogress = (event) => event.lengthComputable && onSent(event.loaded / event.total);
    request.onload = () => answered(request, done, fail);
    Object.assign(request, { onerror: broken, onabort: broken, ontimeout: broken });
    signal.addEventListener("abort", () => request.abort());
    const form = new FormData();
    form.append("file", file, file.name);
    request.send(form);
  });
}

function answered({ status, responseText }, done, fail) {
  let read;
  try {
    read = JSON.parse(responseText);
  } catch {
    read = { title: `an answer that cannot be read (${status})` };
  }
  if (status === 401) dispatchEvent(new Event("signed-out"));
  if (status === 201) done(read);
  else fail(new Refused({ ...read, status }));
}

let last = Promise.resolve();

/** The same, one file after the other: each is there the sooner. */
export function upload(file, { onSent, signal }) {
  const turn = last.then(() => (signal.aborted ? Promise.reject(new Refused(BROKEN)) : send(file, { onSent, signal })));
  last = turn.catch(() => {});
  return turn;
}
