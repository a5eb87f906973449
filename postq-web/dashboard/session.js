// Who is signed in: the token is in a cookie that no script can read.

import { get, post, remove } from "./api.js";

let who = {};

/** `{scope, name}`; without a scope nobody is. */
export async function session() {
  who = await get("/session");
  return who;
}

export const known = () => who;

export const signIn = (token) => post("/session", { token });

/** Signs out; the page asks again who is there. */
export async function leave() {
  await remove("/session");
  dispatchEvent(new Event("signed-out"));
}

const ORDER = ["read", "write", "admin"];

/** Whether whoever is signed in may do this. */
export const may = (scope) => ORDER.indexOf(who.scope) >= ORDER.indexOf(scope);
