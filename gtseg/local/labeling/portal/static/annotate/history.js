// @ts-check
// Unlimited undo and redo: every operation is stored as the runs that it changed. `journal` records every step, so that they can be restored.

export class History {
  /** @param {import("./raster.js").LabelMap} map  @param {any} [journal] */
  constructor(map, journal) {
    this.map = map;
    this.journal = journal;
    /** @type {import("./raster.js").Operation[]} */
    this.ops = [];
    this.cursor = 0;
    if (journal) journal.history = this;
  }

  push(op) {
    if (!op) return;
    this.ops.length = this.cursor;
    this.ops.push(op);
    this.cursor += 1;
    this.journal?.record(this.cursor - 1, op);
  }

  /** -> the changed Area, or null */
  undo() {
    if (!this.cursor) return null;
    this.cursor -= 1;
    const op = this.ops[this.cursor];
    const area = this.map.replay(op, { undo: true });
    if (op.kind.startsWith("+")) area.join(this.undo()); // one step together with the operation before it
    else this.journal?.move(this.cursor);
    return area;
  }

  redo() {
    if (this.cursor >= this.ops.length) return null;
    const area = this.map.replay(this.ops[this.cursor]);
    this.cursor += 1;
    if (this.ops[this.cursor]?.kind.startsWith("+")) area.join(this.redo());
    else this.journal?.move(this.cursor);
    return area;
  }

  restore(ops, cursor) {
    this.ops = ops;
    this.cursor = Math.min(cursor, ops.length);
    for (const op of ops.slice(0, this.cursor)) this.map.replay(op);
  }
}
