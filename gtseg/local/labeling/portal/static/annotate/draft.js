// @ts-check
// Drafts on the server: a task can be continued in another browser; one tab at a time has it open.

import { post, HttpError, Unreachable } from "../api.js";

const BEAT_MS = 15_000;
const FORMAT = 1;
const MOST_NUMBERS = 1_500_000; // limit on numbers of runs stored as separate steps; beyond it, the drawing is one step
export const MOST_BYTES = 4 << 20;

/** This tab's id: kept when the page is reloaded, not copied when the tab is duplicated. */
export const TAB = (() => {
  const kept = sessionStorage.getItem("gtseg-tab");
  sessionStorage.removeItem("gtseg-tab");
  const id = kept ?? Array.from(crypto.getRandomValues(new Uint8Array(12)), (n) => n.toString(16).padStart(2, "0")).join("");
  window.addEventListener("pagehide", () => sessionStorage.setItem("gtseg-tab", id));
  window.addEventListener("pageshow", () => sessionStorage.removeItem("gtseg-tab"));
  return id;
})();

export class Draft {
  /** `onlost`() is called when another tab or computer takes over the task. */
  /** @param {string} task  @param {{activity: import("./activity.js").Activity, onlost?: () => void}} options */
  constructor(task, { activity, onlost = () => {} }) {
    this.path = `tasks/${encodeURIComponent(task)}`;
    this.activity = activity;
    this.onlost = onlost;
    this.version = 0;
    this.lost = false;
    /** @type {ReturnType<typeof setInterval> | undefined} */
    this.timer = undefined;
    this.canceled = new AbortController();
  }

  /** -> {elsewhere, version, saved_at}; with `take` the task is taken over from another tab. */
  async open({ take = false } = {}) {
    const found = await this.report({ opens: true, take });
    this.lost = found.elsewhere;
    this.version = found.version ?? 0;
    if (!found.elsewhere) this.start();
    return found;
  }

  start() {
    this.end();
    if (this.canceled.signal.aborted) this.canceled = new AbortController();
    this.quit = new AbortController();
    const options = { signal: this.quit.signal };
    this.timer = setInterval(() => this.reportPresence(), BEAT_MS);
    document.addEventListener("visibilitychange", () => document.visibilityState === "hidden" && this.reportPresence(), options);
    window.addEventListener("pagehide", () => this.leave(), options);
  }

  /** Stop reporting presence; `leave` also allows another tab to open the task at once. */
  end() {
    clearInterval(this.timer);
    this.quit?.abort();
  }
  /** Stop reporting presence and cancel all requests, those without a response and later ones, until `start`. */
  suspend() {
    this.end();
    this.canceled.abort();
  }
  leave() {
    this.end();
    const body = JSON.stringify({ tab: TAB, active: this.activity.take(), leaving: true });
    fetch(`/_portal/api/${this.path}/presence`, { method: "POST", credentials: "same-origin", keepalive: true, headers: { "X-Gtseg-Portal": "1", "Content-Type": "application/json" }, body }).catch(() => {});
  }

  async reportPresence() {
    const found = await this.report({}).catch(() => null);
    if (found?.elsewhere) this.markLost();
  }
  markLost() {
    if (this.lost) return;
    this.lost = true;
    this.end();
    this.onlost();
  }

  async report(words) {
    const active = this.activity.take();
    try {
      return await post(`${this.path}/presence`, { tab: TAB, active, ...words }, { signal: this.canceled.signal });
    } catch (error) {
      this.activity.giveBack(active);
      throw error;
    }
  }

  /** -> {version, bytes}, or null if nothing is saved */
  async read() {
    const answer = await this.request("GET", "");
    if (answer.status === 404) return null;
    if (!answer.ok) throw new HttpError(answer.status, await answer.json().catch(() => null));
    this.version = Number(answer.headers.get("Draft-Version"));
    return { version: this.version, bytes: new Uint8Array(await answer.arrayBuffer()) };
  }

  /** Save a draft based on version `base`. -> the new version */
  async save(base, blob) {
    const answer = await this.request("PUT", `?tab=${TAB}&base=${base}`, blob);
    const body = await answer.json().catch(() => null);
    if (answer.status === 409 && body?.error !== "Changed") this.markLost();
    if (!answer.ok) throw new HttpError(answer.status, body);
    this.version = body.version;
    return body.version;
  }

  async request(method, words, body) {
    const answer = await fetch(`/_portal/api/${this.path}/draft${words}`, { method, credentials: "same-origin", headers: { "X-Gtseg-Portal": "1" }, body, signal: this.canceled.signal }).catch(() => null);
    if (!answer || answer.status >= 500 || answer.status === 429) throw new Unreachable("the server cannot be reached");
    return answer;
  }
}

// ---- content of a draft: a line of JSON, then the runs of all steps as Int32, compressed with gzip

async function through(stream, bytes) {
  const buffer = await new Response(new Blob([bytes]).stream().pipeThrough(stream)).arrayBuffer();
  return new Uint8Array(buffer);
}

/** {ops, cursor} of a map, or {value} of a page without one -> Blob */
export async function pack(shape, { ops = [], cursor = 0, map = null, value = null }) {
  let steps = ops;
  let at = cursor;
  if (map && ops.reduce((sum, op) => sum + op.runs.length, 0) > MOST_NUMBERS) {
    steps = collapse(map, ops, cursor);
    at = steps.length;
  }
  const head = new TextEncoder().encode(`${JSON.stringify({ format: FORMAT, ...shape, value, cursor: at, ops: steps.map(({ to, kind, runs }) => ({ to, kind, length: runs.length })) })}\n`);
  const numbers = new Int32Array(steps.reduce((sum, op) => sum + op.runs.length, 0));
  let end = 0;
  for (const { runs } of steps) {
    numbers.set(runs, end);
    for (let i = runs.length - 3; i > 0; i -= 3) numbers[end + i] -= numbers[end + i - 3]; // differences compress well
    end += runs.length;
  }
  return new Blob([await through(new CompressionStream("gzip"), new Blob([head, numbers]))]);
}

/** bytes -> {width, height, labels, start, value, cursor, ops}. Throws for invalid drafts. */
export async function unpack(bytes) {
  const plain = await through(new DecompressionStream("gzip"), bytes);
  const line = plain.indexOf(10);
  const head = JSON.parse(new TextDecoder().decode(plain.subarray(0, line)));
  if (head.format !== FORMAT) throw new Error("the draft is of another version of this page");
  const numbers = new Int32Array(plain.slice(line + 1).buffer);
  let end = 0;
  const ops = head.ops.map(({ to, kind, length }) => {
    const runs = numbers.slice(end, end + length);
    for (let i = 3; i < length; i += 3) runs[i] += runs[i - 3];
    end += length;
    return { to, kind, runs };
  });
  return { ...head, ops };
}

/** Combine all steps up to `cursor` into one per label. */
export function collapse(map, ops, cursor) {
  const before = map.data.slice();
  for (const { runs } of ops.slice(0, cursor).reverse()) {
    for (let i = runs.length - 3; i >= 0; i -= 3) before.fill(runs[i + 2], runs[i], runs[i] + runs[i + 1]);
  }
  const found = new Map();
  const { data, width } = map;
  for (let i = 0; i < data.length; ) {
    const [to, old, from] = [data[i], before[i], i];
    do i += 1;
    while (i % width && data[i] === to && before[i] === old);
    if (to === old) continue;
    if (!found.has(to)) found.set(to, []);
    found.get(to).push(from, i - from, old);
  }
  return [...found].map(([to, runs]) => ({ to, kind: "earlier", runs: Int32Array.from(runs) }));
}
