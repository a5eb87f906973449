// The API, as the dashboard asks it: one function, one kind of error.

/** A request without an answer is sent again so often, */
const RETRIES = 2;

/** and one that came too early so often, if it may come so soon. */
const MOST_WAITS = 5;
const LONGEST_WAIT = 5000;

/** What all paths begin with: postq may be mounted below a path of another site. */
export const mount = document.documentElement.dataset.mount;

/** What the API refused, in its own words: `status`, `code`, `detail`, `remedy`, `errors`. */
export class Refused extends Error {
  constructor(problem) {
    super(problem.detail || problem.title);
    Object.assign(this, { status: 0, code: "unreachable", remedy: "", errors: [] }, problem);
  }

  /** Nobody knows what became of it, or nothing did yet: the very same may go through when it is sent again. */
  get isPassing() {
    return this.status === 0 || this.status === 429 || this.status >= 500 || this.code === "in_progress";
  }
}

/** A key that nothing else has. `crypto.randomUUID` is there only with https and on this machine. */
export const unique = () => Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");

/** The key of what a form hands in: the same one for the same body until it is known what became of it. */
export function keyring() {
  let key;
  let last;
  return {
    of(body) {
      const text = JSON.stringify(body);
      if (text !== last) key = unique();
      last = text;
      return key;
    },
    answered(problem) {
      if (!problem.isPassing) last = undefined;
    },
  };
}

const SESSION = "/api/session";

export const UNREACHABLE = {
  title: "postq does not answer",
  remedy: "it may be restarting; this page goes on by itself as soon as it is back",
};

/** Asks; answers the body, and the `ETag` as `tag` where there is one. */
async function ask(method, path, body, { tag, key } = {}) {
  const headers = { accept: "application/json" };
  if (body !== undefined) headers["content-type"] = "application/json";
  if (tag) headers["if-match"] = tag;
  if (method === "POST") headers["idempotency-key"] = key ?? unique();
  const init = { method, headers, credentials: "same-origin", cache: "no-store" };
  if (body !== undefined) init.body = JSON.stringify(body);
  const answer = await send(path, init);
  if (answer.status === 204) return null;
  const text = await answer.text();
  let read;
  try {
    read = text ? JSON.parse(text) : null;
  } catch {
    throw new Refused({ status: answer.status, title: `an answer that cannot be read (${answer.status})` });
  }
  if (answer.status === 401 && path !== SESSION) dispatchEvent(new Event("signed-out"));
  if (!answer.ok) throw new Refused({ status: answer.status, ...read });
  const etag = answer.headers.get("etag");
  return etag && read && typeof read === "object" ? { ...read, tag: etag } : read;
}

/** So many milliseconds. */
export const pause = (millis) => new Promise((done) => setTimeout(done, millis));

/** A request that got no answer is sent again: reading is harmless, so is putting, and a POST has its key. So is one that was refused as one too many. */
async function send(path, init) {
  const again = ["GET", "POST", "PUT"].includes(init.method);
  for (let tried = 0; ; tried += 1) {
    let wait = 300 * 2 ** tried;
    try {
      const answer = await fetch(mount + path, init);
      wait = 1000 * Number(answer.headers.get("retry-after") ?? 1);
      const isEarly = answer.status === 429 && path !== SESSION;
      if (!isEarly || wait > LONGEST_WAIT || tried >= MOST_WAITS) return answer;
    } catch {
      if (!again || tried >= RETRIES) throw new Refused(UNREACHABLE);
    }
    await pause(wait);
  }
}

export const get = (path, query) => ask("GET", `/api${path}${questions(query)}`);
export const post = (path, body, options) => ask("POST", `/api${path}`, body, options);
export const patch = (path, body, options) => ask("PATCH", `/api${path}`, body, options);
export const put = (path, body) => ask("PUT", `/api${path}`, body);
export const remove = (path, options) => ask("DELETE", `/api${path}`, undefined, options);

/** Every item of a list, page by page, up to `most`. */
export async function all(path, query = {}, most = 2000) {
  const items = [];
  let cursor;
  do {
    const page = await get(path, { ...query, limit: 500, cursor });
    items.push(...page.items);
    cursor = page.next;
  } while (cursor && items.length < most);
  return items;
}

/** All accounts, by their ids. */
export const accountsById = async () => new Map((await all("/accounts")).map((account) => [account.id, account]));

function questions(query) {
  const pairs = Object.entries(query ?? {}).filter(([, value]) => value !== undefined && value !== null && value !== "");
  return pairs.length ? `?${new URLSearchParams(pairs)}` : "";
}
