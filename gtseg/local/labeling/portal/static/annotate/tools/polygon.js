// Polygon by its corners. A closed polygon can be changed until Enter or the start of the next one.

import { Tool } from "./tool.js";

export class Polygon extends Tool {
  taps = true;
  kind = "polygon";
  points = [];
  closed = false;
  subtracts = false;
  op = null;
  hot = -1; // the corner under the pointer
  past = [];
  future = [];

  get isOpen() {
    return this.points.length > 0;
  }
  get complete() {
    return this.closed;
  }
  get hint() {
    const { touch, click, Click, key } = this.editor.words;
    const what = this.subtracts ? "what to take away" : "the object";
    if (this.hot >= 0) return `Drag the corner to move it, ${click} it to delete it.`;
    if (this.closed) return "Drag corners and sides to change it.";
    if (!this.points.length) return `${Click} corner after corner around ${what}.${touch || this.subtracts ? "" : " Alt: take away."}`;
    return `${this.points.length} ${this.points.length === 1 ? "corner" : "corners"}. ${touch ? "Tap the first one to close." : `Close with ${key("commit")}, a double click or the first corner.`}`;
  }
  get options() {
    return [`${this.kind}-add`, `${this.kind}-subtract`];
  }
  isOn(id) {
    return id === `${this.kind}-${this.subtracts ? "subtract" : "add"}`;
  }
  /** Set whether polygons are subtracted, including the open one. */
  subtract(subtracts) {
    this.subtracts = subtracts;
    if (this.closed) this.draw();
    this.editor.refresh();
  }

  down(p, { double = false, erase = false, only = false } = {}) {
    this.pressed = p;
    if (this.closed) {
      const corner = this.cornerAt(p);
      if (corner >= 0) return this.hold(corner);
      const side = this.sideAt(p);
      if (side >= 0) return this.bend(side, p);
      this.commit();
    }
    if (this.points.length > 2 && (double || this.near(p, this.points[0]))) return this.close();
    if (double) return undefined;
    if (!this.points.length) this.away = erase || only;
    this.add(p);
    return this.editor.refresh();
  }
  add(p) {
    this.points = [...this.points, p];
    this.pointer = p;
  }
  cornerAt(p) {
    const found = this.points.map((corner, i) => [Math.hypot(corner[0] - p[0], corner[1] - p[1]), i]).sort(([a], [b]) => a - b)[0];
    return found && this.near(this.points[found[1]], p) ? found[1] : -1;
  }
  /** Index of the side at a point, by its first corner; -1 if none. */
  sideAt([x, y]) {
    const far = (this.editor.touch ? 14 : 6) / this.editor.view.zoom;
    return this.points.findIndex(([ax, ay], i) => {
      const [bx, by] = this.points[(i + 1) % this.points.length];
      const length = (bx - ax) ** 2 + (by - ay) ** 2;
      const share = length ? Math.min(1, Math.max(0, ((x - ax) * (bx - ax) + (y - ay) * (by - ay)) / length)) : 0;
      return Math.hypot(ax + share * (bx - ax) - x, ay + share * (by - ay) - y) < far;
    });
  }
  hold(corner) {
    this.held = corner;
    this.moved = false;
    this.before = this.points;
  }
  bend(side, p) {
    this.before = this.points;
    this.points = [...this.points.slice(0, side + 1), p, ...this.points.slice(side + 1)];
    this.held = side + 1;
    this.moved = true;
    this.draw();
  }
  move(p) {
    if (this.held === undefined) return;
    if (!this.moved && this.near(p, this.pressed, 4)) return;
    this.moved = true;
    this.points = this.points.map((corner, i) => (i === this.held ? p : corner));
    this.draw();
  }
  up() {
    if (this.held === undefined) return;
    const corner = this.held;
    this.held = undefined;
    if (!this.moved) {
      if (this.points.length < 4) return this.editor.showMessage("A polygon has at least three corners.");
      this.points = this.points.filter((_, i) => i !== corner);
    }
    this.draw();
    this.remember(this.before);
  }
  hover(p) {
    this.pointer = p;
    const hot = this.closed ? this.cornerAt(p) : -1;
    const same = hot === this.hot;
    this.hot = hot;
    if (!same) this.editor.refresh();
    else if (this.points.length) this.editor.overlay();
  }

  close() {
    if (this.points.length < 3) return;
    this.closed = true;
    this.past = [];
    this.draw();
  }
  /** Redraw the polygon. */
  draw() {
    const { editor } = this;
    if (this.op) editor.revert(this.op);
    const away = this.subtracts || this.away;
    const { label } = editor;
    const stroke = away ? this.stroke(0, this.kind) : this.stroke(label, this.kind);
    stroke.polygon(this.outline());
    editor.view.touch(stroke.takeChanged());
    this.op = stroke.finish();
    editor.done(this.op, { keep: true });
  }
  /** The outline to draw. */
  outline() {
    return this.points;
  }
  remember(points) {
    this.past.push(points);
    this.future = [];
  }

  commit() {
    if (this.points.length && !this.closed) return this.close();
    return this.reset();
  }
  finish() {
    if (this.points.length > 2 && !this.closed) this.close();
    this.reset();
  }
  reset() {
    Object.assign(this, { points: [], closed: false, op: null, past: [], future: [], held: undefined, away: false, hot: -1 });
    this.editor.refresh();
  }
  cancel() {
    const open = this.points.length > 0;
    if (this.op) this.editor.revert(this.op);
    this.reset();
    return open;
  }
  drop() {
    if (this.held !== undefined) {
      this.points = this.before;
      this.held = undefined;
      this.draw();
    } else if (!this.closed) this.back();
  }
  back() {
    const open = this.points.length > 0;
    if (this.closed) return this.undo();
    this.points = this.points.slice(0, -1);
    this.editor.refresh();
    return open;
  }
  undo() {
    if (!this.points.length) return false;
    if (!this.closed) return this.back();
    if (!this.past.length) {
      if (this.op) this.editor.revert(this.op);
      Object.assign(this, { closed: false, op: null });
      this.editor.refresh();
      return true;
    }
    this.future.push(this.points);
    this.points = this.past.pop();
    this.draw();
    return true;
  }
  redo() {
    if (!this.closed || !this.future?.length) return false;
    this.past.push(this.points);
    this.points = this.future.pop();
    this.draw();
    return true;
  }
  /** Reset if the polygon's operation was undone. */
  undone(op) {
    if (op && op === this.op) this.reset();
  }
  get shape() {
    if (!this.points.length) return null;
    const dots = this.points.map(([x, y], i) => [x, y, i || this.closed ? "corner" : "first", i === this.hot]);
    const line = this.outline();
    if (this.closed) return { line: [...line, line[0]], points: dots };
    const open = this.pointer ? [...line, this.pointer] : line;
    return { line: open, closing: open.length > 2 ? [open.at(-1), open[0]] : null, points: dots };
  }
}
