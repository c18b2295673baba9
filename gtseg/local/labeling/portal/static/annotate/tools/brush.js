// Brush and eraser.

import { Tool } from "./tool.js";

class FreehandTool extends Tool {
  start(p, to, { straight = false } = {}) {
    this.open = this.stroke(to, this.kind);
    this.last = straight && this.end ? this.end : p; // Shift: a straight line from the end of the last stroke
    this.ink(p);
  }
  ink(p) {
    this.open.capsule(this.last[0], this.last[1], p[0], p[1], this.editor.size);
    this.last = p;
    this.editor.view.touch(this.open.takeChanged());
  }
  move(p) {
    if (this.open) this.ink(p);
  }
  up() {
    if (!this.open) return;
    const op = this.open.finish();
    this.open = null;
    this.end = this.last;
    this.editor.done(op, { keep: true });
  }
  hover(p, { straight = false } = {}) {
    this.line = straight && this.end && !this.open ? [this.end, p] : null;
  }
  get shape() {
    return this.line ? { line: this.line, width: this.editor.size } : null;
  }
  cancel() {
    this.line = null;
    if (!this.open) return false;
    const op = this.open.finish();
    this.open = null;
    if (op) this.editor.view.touch(this.editor.map.replay(op, { undo: true }));
    return true;
  }
  get isOpen() {
    return Boolean(this.open);
  }
  changes() {
    const { touch, key } = this.editor.words;
    return touch ? "Two fingers move and zoom." : `Shift and click: a straight line. ${key("smaller")} and ${key("larger")} change the size.`;
  }
}

export class Brush extends FreehandTool {
  kind = "brush";
  get hint() {
    return `Drag to paint. ${this.editor.touch ? "" : "Right button erases. "}${this.changes()}`;
  }
  down(p, { erase = false, straight = false } = {}) {
    this.start(p, erase ? 0 : this.editor.label, { straight });
  }
}

export class Eraser extends FreehandTool {
  kind = "erase";
  get hint() {
    return `Drag to erase. ${this.changes()}`;
  }
  down(p, how) {
    this.start(p, 0, how);
  }
}
