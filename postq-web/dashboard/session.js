// Who is signed in: the token is in a cookie that no script can read.

import { get, mount, post, remove } from "./api.js";

let who = {};

/** All tabs have the same session: what one does, the others look at. */
const tabs = new BroadcastChannel(`postq ${mount}`);
tabs.onmessage = () => dispatchEvent(new Event("signed-out"));

/** `{scope, name}`; without a scope nobody is. */
export async function session() {
  who = await get("/session");
  return who;
}

export const known = () => who;

/** Signs in; the page asks again who is there. */
export async function signIn(token) {
  await post("/session", { token });
  tabs.postMessage("in");
  dispatchEvent(new Event("signed-out"));
}

/** Signs out; the page asks again who is there. */
export async function leave() {
  await remove("/session");
  sessionStorage.clear();
  tabs.postMessage("out");
  dispatchEvent(new Event("signed-out"));
}

const ORDER = ["read", "write", "admin"];

/** Whether whoever is signed in may do this. */
export const may = (scope) => ORDER.indexOf(who.scope) >= ORDER.indexOf(scope);
