// The tools. Each answers down / move / up in image coordinates (floats), `click` tools act on down alone, and says what to do next in `hint`.
// `desk` is the element: label, map, history, view, size, and what a tool may ask of it.

import { Stroke } from "./raster.js";

class Tool {
  constructor(desk) {
    this.desk = desk;
  }
  down() {}
  move() {}
  up() {}
  /** Enter / C: what is open is done. */
  commit() {}
  /** Esc: what is open is given up. -> whether something was. */
  cancel() {
    return false;
  }
  /** Backspace: the last point goes. */
  back() {
    return false;
  }
  /** Points and lines to show over the image: {line: [[x, y]], closed, points: [[x, y, kind]], box} */
  get shape() {
    return null;
  }
  stroke(to, kind) {
    return new Stroke(this.desk.map, to, { kind, over: to ? this.desk.over() : null });
  }
}

class Ink extends Tool {
  click = false;
  start(p, to) {
    this.open = this.stroke(to, this.kind);
    this.last = p;
    this.ink(p);
  }
  ink(p) {
    this.open.capsule(this.last[0], this.last[1], p[0], p[1], this.desk.size);
    this.last = p;
    this.desk.view.touch(this.open.takeFresh());
  }
  move(p) {
    if (this.open) this.ink(p);
  }
  up() {
    if (!this.open) return;
    this.desk.done(this.open.finish());
    this.open = null;
  }
  cancel() {
    if (!this.open) return false;
    const op = this.open.finish();
    this.open = null;
    if (op) this.desk.view.touch(this.desk.map.replay(op, { undo: true }));
    return true;
  }
}

export class Brush extends Ink {
  kind = "brush";
  get hint() {
    const { touch, key } = this.desk.words;
    return `Drag to paint. ${touch ? "Two fingers move and zoom." : `Right button erases. ${key("smaller")} and ${key("larger")} change the size.`}`;
  }
  down(p, { erase = false } = {}) {
    this.start(p, erase ? 0 : this.desk.label);
  }
}

export class Eraser extends Ink {
  kind = "erase";
  get hint() {
    const { touch, key } = this.desk.words;
    return `Drag to erase. ${touch ? "Two fingers move and zoom." : `${key("smaller")} and ${key("larger")} change the size.`}`;
  }
  down(p) {
    this.start(p, 0);
  }
}

export class Polygon extends Tool {
  click = true;
  points = [];
  get hint() {
    const { touch, Click, key } = this.desk.words;
    if (!this.points.length) return `${Click} corner after corner around the object.`;
    return `${this.points.length} ${this.points.length === 1 ? "corner" : "corners"}. ${touch ? "Tap the first one to close." : `Close with ${key("commit")}, a double click or the first corner.`}`;
  }
  down(p, { double = false } = {}) {
    const near = 9 / this.desk.view.zoom;
    const [first] = this.points;
    if (this.points.length > 2 && Math.hypot(p[0] - first[0], p[1] - first[1]) < near) return this.commit();
    if (double) return this.commit();
    this.points.push(p);
    this.pointer = p;
    this.desk.refresh();
  }
  hover(p) {
    this.pointer = p;
    if (this.points.length) this.desk.refresh();
  }
  commit() {
    if (this.points.length < 3) return;
    const stroke = this.stroke(this.desk.label, "polygon");
    stroke.polygon(this.points);
    this.points = [];
    this.desk.view.touch(stroke.takeFresh());
    this.desk.done(stroke.finish());
  }
  cancel() {
    const open = this.points.length > 0;
    this.points = [];
    this.desk.refresh();
    return open;
  }
  back() {
    const open = this.points.length > 0;
    this.points.pop();
    this.desk.refresh();
    return open;
  }
  get shape() {
    if (!this.points.length) return null;
    const line = this.pointer ? [...this.points, this.pointer] : this.points;
    return { line, closing: line.length > 2 ? [line.at(-1), line[0]] : null, points: this.points.map(([x, y], i) => [x, y, i ? "corner" : "first"]) };
  }
}

export class Fill extends Tool {
  click = true;
  get hint() {
    return `${this.desk.words.Click} an area to give it the label, up to the next border.`;
  }
  down(p) {
    const stroke = new Stroke(this.desk.map, this.desk.label, { kind: "fill" });
    stroke.flood(Math.floor(p[0]), Math.floor(p[1]));
    this.desk.view.touch(stroke.takeFresh());
    this.desk.done(stroke.finish());
  }
}

export class BoxErase extends Tool {
  click = false;
  get hint() {
    return `Drag a box: everything inside is erased.${this.desk.words.touch ? "" : " With Alt only the chosen label."}`;
  }
  down(p, { only = false } = {}) {
    Object.assign(this, { start: p, end: p, only });
    this.desk.refresh();
  }
  move(p) {
    if (!this.start) return;
    this.end = p;
    this.desk.refresh();
  }
  get box() {
    const [ax, ay] = this.start;
    const [bx, by] = this.end;
    return [Math.round(Math.min(ax, bx)), Math.round(Math.min(ay, by)), Math.round(Math.max(ax, bx)), Math.round(Math.max(ay, by))];
  }
  up() {
    if (!this.start) return;
    const { label } = this.desk;
    const stroke = new Stroke(this.desk.map, 0, { kind: "box", over: this.only ? (old) => old === label : null });
    stroke.rect(...this.box);
    this.start = null;
    this.desk.view.touch(stroke.takeFresh());
    this.desk.done(stroke.finish());
    this.desk.refresh();
  }
  cancel() {
    const open = Boolean(this.start);
    this.start = null;
    this.desk.refresh();
    return open;
  }
  get shape() {
    return this.start ? { box: this.box } : null;
  }
}

const EDGES = ["top", "bottom", "left", "right"];

/** Four extreme points -> the server's outline; then clicks where something is missing or too much. */
export class AutoSegment extends Tool {
  click = true;
  points = [];
  clicks = []; // [[x, y], "inside" | "outside"] in the order they were made
  state = "points"; // points | asking | refine
  get hint() {
    if (this.state === "asking") return "Finding the outline…";
    const { click, Click, key } = this.desk.words;
    if (this.state === "refine") return `${Click} what is missing or too much. ${key("commit")}: next object.`;
    const n = this.points.length;
    return n ? `${n} of 4: now ${click} the ${EDGES[n]} edge.` : `${Click} the object's four outermost points: top, bottom, left and right.`;
  }
  down(p) {
    if (this.state === "asking") return undefined;
    if (this.state === "refine") {
      const inMask = this.covered(p);
      this.clicks.push([p, inMask ? "outside" : "inside"]);
      return this.ask();
    }
    this.points.push(p);
    this.desk.refresh();
    return this.points.length === 4 ? this.ask() : undefined;
  }
  covered([x, y]) {
    const [px, py] = [Math.floor(x), Math.floor(y)];
    return this.rows.some(([row, ...ends]) => row === py && ends.some((end, i) => i % 2 === 0 && px >= end && px < ends[i + 1]));
  }
  async ask() {
    const before = this.state;
    const turn = (this.turn = Symbol("turn"));
    this.state = "asking";
    this.desk.refresh();
    try {
      const found = await this.desk.autosegment({ points: this.points, inside: this.side("inside"), outside: this.side("outside") });
      if (this.turn !== turn) return;
      this.apply(found.rows);
      this.state = "refine";
      if (!found.rows.length) this.desk.say("Nothing was found between these points. Take them back with Backspace, or paint it.");
    } catch (error) {
      if (this.turn !== turn) return;
      this.state = before;
      if (before === "points") this.points.pop();
      else this.clicks.pop();
      this.desk.say(`Auto-segment did not answer: ${error.message}. The points are kept; click the last one again, or use the brush.`, { alarm: true });
    }
    this.desk.refresh();
  }
  apply(rows) {
    if (this.op) this.desk.takeBack(this.op);
    this.rows = rows;
    const stroke = this.stroke(this.desk.label, "auto");
    stroke.rows(rows);
    this.op = stroke.finish();
    this.desk.view.touch(stroke.takeFresh());
    this.desk.done(this.op, { keep: true });
  }
  commit() {
    if (this.state === "asking") this.turn = null;
    Object.assign(this, { points: [], clicks: [], rows: [], op: null, state: "points" });
    this.desk.refresh();
  }
  cancel() {
    const open = this.points.length > 0;
    if (this.op) this.desk.takeBack(this.op);
    this.commit();
    return open;
  }
  back() {
    if (this.state === "refine" && this.clicks.length) {
      this.clicks.pop();
      this.ask();
      return true;
    }
    if (this.state === "refine") return this.cancel();
    const open = this.points.length > 0;
    this.points.pop();
    this.desk.refresh();
    return open;
  }
  side(which) {
    return this.clicks.filter(([, kind]) => kind === which).map(([p]) => p);
  }
  /** Undo took the object away: its points are no longer open. */
  undone(op) {
    if (op === this.op) this.commit();
  }
  get shape() {
    if (!this.points.length) return null;
    return { points: [...this.points.map(([x, y]) => [x, y, "extreme"]), ...this.clicks.map(([[x, y], kind]) => [x, y, kind])] };
  }
}

export class Pan extends Tool {
  click = false;
  get hint() {
    return `Drag to move the image. ${this.desk.words.touch ? "Two fingers" : "The wheel or two fingers"} zoom.`;
  }
}
