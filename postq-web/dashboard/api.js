// The API, as the dashboard asks it: one function, one kind of error.

const RETRIES = 2;

/** What all paths begin with: postq may be mounted below a path of another site. */
export const mount = document.documentElement.dataset.mount;

/** What the API refused, in its own words: `status`, `code`, `detail`, `remedy`, `errors`. */
export class Refused extends Error {
  constructor(problem) {
    super(problem.detail || problem.title);
    Object.assign(this, { status: 0, code: "unreachable", remedy: "", errors: [] }, problem);
  }
}

const SESSION = "/api/session";

const UNREACHABLE = {
  title: "postq does not answer",
  remedy: "it may be restarting; this page goes on by itself as soon as it is back",
};

/** Asks; answers the body, and the `ETag` as `tag` where there is one. */
async function ask(method, path, body, { tag, key } = {}) {
  const headers = { accept: "application/json" };
  if (body !== undefined) headers["content-type"] = "application/json";
  if (tag) headers["if-match"] = tag;
  if (method === "POST") headers["idempotency-key"] = key ?? crypto.randomUUID();
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

/** A request that got no answer is sent again: reading is harmless, and a POST has its key. */
async function send(path, init) {
  const again = init.method === "GET" || init.method === "POST";
  for (let tried = 0; ; tried += 1) {
    try {
      return await fetch(mount + path, init);
    } catch {
      if (!again || tried >= RETRIES) throw new Refused(UNREACHABLE);
      await new Promise((done) => setTimeout(done, 300 * 2 ** tried));
    }
  }
}

export const get = (path, query) => ask("GET", `/api${path}${questions(query)}`);
export const post = (path, body, options) => ask("POST", `/api${path}`, body, options);
export const patch = (path, body, options) => ask("PATCH", `/api${path}`, body, options);
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

function questions(query) {
  const pairs = Object.entries(query ?? {}).filter(([, value]) => value !== undefined && value !== null && value !== "");
  return pairs.length ? `?${new URLSearchParams(pairs)}` : "";
}
