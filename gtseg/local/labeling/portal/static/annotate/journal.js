// @ts-check
// Unsubmitted work, stored in this browser (IndexedDB) and, shortly after, on the server (draft.js). In the browser: one record per operation, written
// when the stroke ends, so that a reload, a crash, a network failure or a server restart loses nothing. Keyed by worker, job and object, so that it
// is found if the object is leased again.
//
// `base` is the server's version that this browser's work is based on, `dirty` whether this browser has unsaved changes. If the server has a version
// other than `base`, another browser saved it: its drawing is shown, and this browser's drawing is put aside.

import { MOST_BYTES, pack, unpack } from "./draft.js";
import { HttpError, Unreachable } from "../api.js";

const NAME = "gtseg-work";
const DEBOUNCE_MS = 2000;
const LONGEST_MS = 10_000;
const RETRY_MS = 10_000;
const ASIDE = "\naside";

function asPromise(request) {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}

function completion(transaction) {
  return new Promise((/** @type {(value?: unknown) => void} */ resolve, reject) => {
    transaction.oncomplete = () => resolve();
    transaction.onabort = transaction.onerror = () => reject(transaction.error);
  });
}

async function open() {
  const request = indexedDB.open(NAME, 1);
  request.onupgradeneeded = () => {
    request.result.createObjectStore("works", { keyPath: "key" });
    request.result.createObjectStore("ops", { keyPath: ["key", "seq"] });
  };
  return asPromise(request);
}

const all = (key) => IDBKeyRange.bound([key, 0], [key, Infinity]);

export class Journal {
  /** @param {string} key  @param {(state: string, error?: unknown) => void} onstate  @param {any} draft
   * `onstate`("saved" | "saving" | "failed" | "shared" | "here") is called on changes of the saved state; `draft`: the server's Draft, or null. */
  constructor(key, onstate = () => {}, draft = null) {
    this.key = key;
    this.onstate = onstate;
    this.draft = draft;
    /** @type {IDBDatabase | null} */
    this.db = null;
    this.pending = 0;
    /** @type {any} */
    this.about = {};
    this.closed = false;
    this.suspended = false;
    /** @type {Promise<unknown> | null} */
    this.saving = null;
    /** @type {import("./history.js").History | null} */
    this.history = null;
    this.value = null;
    this.changes = 0;
    this.aside = false;
    /** @type {((version: number) => void) | null} */
    this.onshared = null;
    if (!draft) return;
    this.quit = new AbortController();
    const options = { signal: this.quit.signal };
    document.addEventListener("visibilitychange", () => document.visibilityState === "hidden" && this.flush(), options);
    window.addEventListener("blur", () => this.flush(), options);
    window.addEventListener("online", () => this.flush(), options);
  }

  /** -> {ops, cursor, elapsed} of stored work on an image of this `shape` ({width, height, labels, start}), or null. Sets `aside` if other work was put aside. */
  async load(shape) {
    this.shape = shape;
    this.about = { key: this.key, ...shape, cursor: 0, elapsed: 0, started: Date.now(), base: 0, dirty: false };
    this.db = await open();
    await deleteOld(this.db);
    const here = await this.readHere(shape).catch(() => null);
    const there = await this.readThere(shape, here).catch(() => undefined);
    if (there) {
      if (here?.dirty) await this.putAside();
      this.about = { ...this.about, cursor: there.cursor, base: there.version, dirty: false };
      await this.rewrite(there.ops);
      return { ...this.about, ops: there.ops };
    }
    if (!here) {
      this.about.base = this.draft?.version ?? 0;
      return null;
    }
    const about = { ...here };
    delete about.ops;
    this.about = { base: 0, dirty: true, ...about };
    if (this.draft && there === null && this.about.base !== this.draft.version) Object.assign(this.about, { base: this.draft.version, dirty: true }); // the server's draft does not fit this image
    if (this.about.dirty) this.scheduleSave();
    return here;
  }

  async readHere(shape) {
    const transaction = this.db.transaction(["works", "ops"]);
    const found = await asPromise(transaction.objectStore("works").get(this.key));
    this.aside = Boolean(await asPromise(transaction.objectStore("works").get(this.key + ASIDE)));
    if (!found || !hasShape(found, shape)) return null;
    const ops = await asPromise(transaction.objectStore("ops").getAll(all(this.key)));
    return { ...found, ops: ops.map(({ to, kind, runs }) => ({ to, kind, runs })) };
  }

  /** The server's drawing if it is newer than this browser's base; null if there is none that fits. */
  async readThere(shape, here) {
    if (!this.draft?.version || this.draft.version === here?.base) return null;
    const found = await this.draft.read();
    const drawn = found && (await unpack(found.bytes));
    return drawn && hasShape(drawn, shape) ? { ...drawn, version: found.version } : null;
  }

  // ---- in this browser

  record(seq, op) {
    this.about.cursor = seq + 1;
    this.write((works, ops) => {
      ops.delete(IDBKeyRange.bound([this.key, seq], [this.key, Infinity]));
      ops.put({ key: this.key, seq, ...op });
    });
  }

  move(cursor) {
    this.about.cursor = cursor;
    this.write(() => {});
  }

  async write(change) {
    if (!this.db || this.closed) return;
    this.about.dirty = true;
    this.changes += 1;
    this.scheduleSave();
    await this.put(change);
  }

  async put(change) {
    this.pending += 1;
    this.onstate("saving");
    try {
      const transaction = this.db.transaction(["works", "ops"], "readwrite", { durability: "strict" });
      change(transaction.objectStore("works"), transaction.objectStore("ops"));
      transaction.objectStore("works").put({ ...this.about, touched: Date.now() });
      await completion(transaction);
      this.pending -= 1;
      if (!this.pending) this.onstate(this.draft && !this.about.dirty ? "shared" : "saved");
    } catch (error) {
      this.pending -= 1;
      this.onstate("failed", error);
    }
  }

  async rewrite(list) {
    await this.put((works, ops) => {
      ops.delete(all(this.key));
      list.forEach((op, seq) => ops.put({ key: this.key, seq, ...op }));
    });
  }

  /** Copy this browser's drawing to a second key, from which it can be restored. */
  async putAside() {
    await this.copy(this.key, this.key + ASIDE);
    this.aside = true;
  }
  async copy(from, to, change = {}) {
    const transaction = this.db.transaction(["works", "ops"], "readwrite");
    const [works, ops] = [transaction.objectStore("works"), transaction.objectStore("ops")];
    const about = await asPromise(works.get(from));
    const list = await asPromise(ops.getAll(all(from)));
    ops.delete(all(to));
    for (const op of list) ops.put({ ...op, key: to });
    works.put({ ...about, ...change, key: to });
    await completion(transaction);
  }
  /** Restore the drawing that was put aside; the page must load it again. */
  async takeAside() {
    const base = this.about.base;
    this.closed = true;
    this.quit?.abort();
    await this.copy(this.key + ASIDE, this.key, { base, dirty: true });
    await this.erase(this.key + ASIDE);
  }

  // ---- on the server

  /** Store the one `value` of a page without a label map. */
  setValue(value) {
    this.value = value;
    this.about.dirty = true;
    this.changes += 1;
    this.scheduleSave();
  }
  /** -> the server's value if it is newer than `base`, else null */
  async loadValue(base) {
    this.shape = {};
    this.about = { base: this.draft?.version ?? 0, dirty: false };
    const there = await this.readThere({}, { base }).catch(() => null);
    return there?.value ?? null;
  }

  /** Schedule a save: two seconds after the last stroke, at most ten seconds after the first. */
  scheduleSave() {
    if (!this.draft || this.closed) return;
    this.first ??= Date.now();
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.flush(), Math.max(0, Math.min(DEBOUNCE_MS, this.first + LONGEST_MS - Date.now())));
  }

  /** Save what is not on the server, after a save that is in progress. */
  async flush() {
    clearTimeout(this.timer);
    while (this.saving) await this.saving;
    if (!this.draft || this.closed || this.suspended || this.draft.lost || !this.about.dirty) return;
    this.saving = this.saveDraft();
    await this.saving;
  }

  async saveDraft() {
    this.first = null;
    const counted = this.changes;
    try {
      const { ops, cursor, map } = this.history ?? {};
      const blob = await pack(this.shape, { ops, cursor, map, value: this.value });
      if (blob.size > MOST_BYTES) return this.onstate("here");
      this.about.base = await this.draft.save(this.about.base, blob);
      this.about.dirty = this.changes !== counted;
      if (this.db && !this.closed) await this.put(() => {});
      else if (!this.about.dirty) this.onstate("shared");
      this.onshared?.(this.about.base);
    } catch (error) {
      if (this.suspended) return undefined;
      if (error.code === "Changed") return this.readVersion(); // an earlier save succeeded but its response was lost
      if (error instanceof Unreachable) this.timer = setTimeout(() => this.flush(), RETRY_MS);
      if (!this.closed && (error instanceof Unreachable || error instanceof HttpError)) this.onstate("here");
    } finally {
      this.saving = null;
      if (this.changes !== counted) this.scheduleSave();
    }
    return undefined;
  }

  async readVersion() {
    const found = await this.draft.report({}).catch(() => null);
    if (found && !found.elsewhere) this.about.base = found.version;
    this.timer = setTimeout(() => this.flush(), DEBOUNCE_MS);
  }

  /** Cancel requests about the draft and send no others: the server refuses them once it has the answer. */
  suspend() {
    this.suspended = true;
    clearTimeout(this.timer);
    this.draft?.suspend();
  }

  /** Save again, after the answer was not taken. */
  resume() {
    this.suspended = false;
    if (this.closed) return;
    this.draft?.start();
    if (this.about.dirty) this.scheduleSave();
  }

  /** Stop saving. Stored work is kept. */
  stop() {
    this.closed = true;
    clearTimeout(this.timer);
    this.quit?.abort();
  }

  /** Delete stored work after the answer was submitted. */
  async discard() {
    this.stop();
    if (!this.db) return;
    await this.erase(this.key);
    await this.erase(this.key + ASIDE);
  }
  async erase(key) {
    const transaction = this.db.transaction(["works", "ops"], "readwrite");
    transaction.objectStore("works").delete(key);
    transaction.objectStore("ops").delete(all(key));
    await completion(transaction);
  }
}

function hasShape(about, { width, height, labels, start }) {
  return about.width === width && about.height === height && about.labels === labels && (about.start ?? "") === (start ?? "");
}

/** Delete work that is older than thirty days, the longest duration of a labeling job. */
async function deleteOld(db) {
  const transaction = db.transaction(["works", "ops"], "readwrite");
  const works = await asPromise(transaction.objectStore("works").getAll());
  for (const { key, touched } of works) {
    if (Date.now() - (touched ?? 0) < 30 * 86400e3) continue;
    transaction.objectStore("works").delete(key);
    transaction.objectStore("ops").delete(all(key));
  }
  await completion(transaction);
}
