// @ts-check
// Requests to the server. Changing requests send a header that cross-origin pages cannot send, which with the same-site cookie prevents CSRF.

const ROOT = "/_portal/api/";

export class HttpError extends Error {
  constructor(status, body) {
    super(body?.message ?? `the server answered ${status}`);
    this.status = status;
    this.body = body;
    this.code = body?.error;
  }
}

/** The server is unreachable or restarting; the request can be retried. */
export class Unreachable extends Error {}

/** @param {string} method  @param {string} path  @param {unknown} [body]  @param {{signal?: AbortSignal}} [options] */
export async function call(method, path, body, { signal } = {}) {
  let answer;
  try {
    answer = await fetch(path.startsWith("/") ? path : ROOT + path, {
      method,
      credentials: "same-origin",
      headers: { "X-Gtseg-Portal": "1", ...(body === undefined ? {} : { "Content-Type": "application/json" }) },
      body: body === undefined ? undefined : JSON.stringify(body),
      signal,
    });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Unreachable("the server cannot be reached");
  }
  if (answer.status === 401) location.assign("/_portal/signin");
  if (answer.status >= 500 || answer.status === 429) throw new Unreachable(`the server answered ${answer.status}`);
  if (answer.status === 204) return null;
  const json = answer.headers.get("content-type")?.includes("json");
  const value = json ? await answer.json().catch(() => null) : await answer.text();
  if (!answer.ok) throw new HttpError(answer.status, json ? value : { message: value?.slice(0, 200) });
  return value;
}

export const get = (/** @type {string} */ path, /** @type {{signal?: AbortSignal}} */ options = {}) => call("GET", path, undefined, options);
export const post = (/** @type {string} */ path, /** @type {unknown} */ body = {}, /** @type {{signal?: AbortSignal}} */ options = {}) => call("POST", path, body, options);

export function wait(ms) {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** Repeat `action` until the server responds; calls `ontry`(n, seconds until the next try) after each failure. A 4xx response is thrown. */
export async function retry(action, ontry = (/** @type {number} */ _n, /** @type {number} */ _seconds) => {}) {
  for (let n = 1; ; n += 1) {
    try {
      return await action();
    } catch (error) {
      if (!(error instanceof Unreachable)) throw error;
      const seconds = Math.min(15, 2 ** Math.min(n - 1, 4));
      ontry(n, seconds);
      await Promise.race([wait(seconds * 1000), new Promise((resolve) => window.addEventListener("online", resolve, { once: true }))]);
    }
  }
}
