// Work in progress, kept in this browser (IndexedDB): one record per operation, written as soon as the stroke ends. What is on the disk is what
// was drawn: a reload, a crash, a lost network or a restarted server cost nothing. Keyed by worker, job and object, so that it is found again
// when the task comes back after its time ran out.

const NAME = "gtseg-work";

function asPromise(request) {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}

function settled(transaction) {
  return new Promise((resolve, reject) => {
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

export class Journal {
  /** `onstate`("saved" | "saving" | "failed") is called as the disk answers. */
  constructor(key, onstate = () => {}) {
    Object.assign(this, { key, onstate, db: null, pending: 0, about: {}, closed: false });
  }

  /** -> {ops, cursor, elapsed} of earlier work on a picture of this size, or null. */
  async load(shape) {
    this.about = { key: this.key, ...shape, cursor: 0, elapsed: 0, started: Date.now() };
    this.db = await open();
    await forgetOld(this.db);
    const transaction = this.db.transaction(["works", "ops"]);
    const found = await asPromise(transaction.objectStore("works").get(this.key));
    if (!found || found.width !== shape.width || found.height !== shape.height || found.labels !== shape.labels) return null;
    const ops = await asPromise(transaction.objectStore("ops").getAll(IDBKeyRange.bound([this.key, 0], [this.key, Infinity])));
    this.about = found;
    return { ...found, ops: ops.map(({ to, kind, runs }) => ({ to, kind, runs })) };
  }

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
    this.pending += 1;
    this.onstate("saving");
    try {
      const transaction = this.db.transaction(["works", "ops"], "readwrite", { durability: "strict" });
      change(transaction.objectStore("works"), transaction.objectStore("ops"));
      transaction.objectStore("works").put({ ...this.about, touched: Date.now() });
      await settled(transaction);
      this.pending -= 1;
      if (!this.pending) this.onstate("saved");
    } catch (error) {
      this.pending -= 1;
      this.onstate("failed", error);
    }
  }

  /** The answer is the server's now. */
  async forget() {
    this.closed = true;
    if (!this.db) return;
    const transaction = this.db.transaction(["works", "ops"], "readwrite");
    transaction.objectStore("works").delete(this.key);
    transaction.objectStore("ops").delete(IDBKeyRange.bound([this.key, 0], [this.key, Infinity]));
    await settled(transaction);
  }
}

/** Work that nobody touched for thirty days (a labeling job lives no longer) leaves the disk. */
async function forgetOld(db) {
  const transaction = db.transaction(["works", "ops"], "readwrite");
  const works = await asPromise(transaction.objectStore("works").getAll());
  for (const { key, touched } of works) {
    if (Date.now() - (touched ?? 0) < 30 * 86400e3) continue;
    transaction.objectStore("works").delete(key);
    transaction.objectStore("ops").delete(IDBKeyRange.bound([key, 0], [key, Infinity]));
  }
  await settled(transaction);
}
