// Auto-segment: a click, a box or four extreme points give an outline computed by the server; corrective clicks add or remove, shown as dots
// that can be dragged and deleted. Each click can be undone. Enter or starting the next object accepts it.

import { subtractRows } from "../rows.js";
import { DRAG, Tool } from "./tool.js";

const EDGES = ["top", "bottom", "left", "right"];
/** Marks of an object: its start, and corrective clicks [[x, y], "inside" | "outside"] in order. */
const NOTHING = { kind: "click", points: [], clicks: [] };

/** One object: its marks, and the server's latest result for them. Pending requests are applied even after the next object has started. */
class OutlineObject {
  past = []; // earlier marks, for undo
  future = [];
  rows = [];
  reach = null; // area of clicks that belong to it; null: everywhere
  op = null; // its operation on the map
  constructor(marks, { away = false, label, suggested = null }) {
    Object.assign(this, { marks, away, label, suggested });
  }
  /** Whether the start has all its points. */
  get complete() {
    const { kind, points } = this.marks;
    return kind === "suggested" || points.length > 0 && (kind !== "points" || points.length === 4);
  }
  get request() {
    const side = (which) => this.marks.clicks.filter(([, kind]) => kind === which).map(([p]) => p);
    const start = this.suggested ? { suggested: this.suggested.number } : { points: this.marks.points };
    return { ...start, inside: side("inside"), outside: side("outside") };
  }
}

export class AutoSegment extends Tool {
  taps = true;
  starts = ["click", "box", "points"]; // starts supported by the server's model
  four = false; // start with four points instead of a click or a box
  removes = false; // whether a plain click on the open object removes
  object = null; // the open object
  pending = new Set(); // promises of pending requests

  get hint() {
    const { touch, click, Click } = this.editor.words;
    const n = this.marks.points.length;
    if (this.collecting) return `${n} of 4: now ${click} the ${EDGES[n]} edge.`;
    if (this.object?.waiting && !this.object.rows.length) return "Finding the outline…";
    if (this.hot) return `Drag the dot to move it, ${click} it to delete it.`;
    if (this.object && this.removes) return `${Click} what is too much.`;
    if (this.object) return touch ? "Tap what is missing. Dots move; tap one to delete it." : `Click what is missing, right-click what is too much.`;
    if (this.four) return `${Click} the four outermost points: top, bottom, left, right.`;
    return this.starts.includes("click") ? `${Click} an object, or drag a box around it.` : "Drag a box around an object.";
  }
  get options() {
    if (this.object?.complete) return ["auto-adds", "auto-removes"];
    return this.starts.includes("points") ? ["auto-click", "auto-points"] : [];
  }
  isOn(id) {
    return { "auto-adds": !this.removes, "auto-removes": this.removes, "auto-click": !this.four, "auto-points": this.four }[id];
  }
  get isOpen() {
    return Boolean(this.object);
  }
  get complete() {
    return Boolean(this.object?.complete);
  }
  /** Between the first and the fourth point. */
  get collecting() {
    return Boolean(this.object) && !this.object.complete;
  }
  get marks() {
    return this.object?.marks ?? NOTHING;
  }
  startWith(four) {
    this.four = four;
    if (this.collecting) this.cancel();
    this.editor.refresh();
  }

  // ---- the pointer ----

  down(p, { erase = false, only = false } = {}) {
    this.press = { at: p, to: p, away: erase || only, dot: this.dotAt(p), dragged: false, before: this.marks };
  }
  move(p) {
    const { press } = this;
    if (!press) return;
    press.to = p;
    if (!press.dragged && this.near(p, press.at, DRAG)) return;
    press.dragged = true;
    if (press.dot && this.object) this.object.marks = moved(press.before, press.dot, p);
    this.editor.overlay();
  }
  up() {
    const { press } = this;
    this.press = null;
    if (!press) return undefined;
    const { at, to, away, dot, dragged, before } = press;
    if (dot) return dragged ? this.change(this.marks, before) : this.remove(dot);
    if (this.collecting) return this.change({ ...this.marks, points: [...this.marks.points, at] });
    if (dragged && this.starts.includes("box")) return this.begin("box", [at, to], away);
    const proposed = this.editor.suggestion.find(at);
    if (proposed) return away ? this.editor.suggestion.drop(proposed) : this.correct(proposed);
    if (this.complete && !this.isFar(at)) return this.change({ ...this.marks, clicks: [...this.marks.clicks, [at, away || this.removes ? "outside" : "inside"]] });
    const accepted = this.editor.suggestion.findAccepted(at, { removes: away });
    if (accepted) return this.correct(accepted, this.isIn(at, accepted) && !away ? [] : [[at, away ? "outside" : "inside"]]);
    if (this.four) return this.begin("points", [at], away);
    if (!this.starts.includes("click")) return this.editor.showMessage("This model starts with a box or four points.");
    return this.begin("click", [at], away);
  }
  /** Whether a point is beyond the open object's reach, so that it belongs to the next object. */
  isFar([x, y]) {
    const { reach } = this.object;
    return Boolean(reach) && (x < reach[0] || y < reach[1] || x >= reach[2] || y >= reach[3]);
  }
  dotAt(p) {
    const dots = [...this.marks.points.map((at, i) => ({ of: "points", i, at })), ...this.marks.clicks.map(([at], i) => ({ of: "clicks", i, at }))];
    const far = ({ at }) => Math.hypot(at[0] - p[0], at[1] - p[1]);
    return dots.filter(({ at }) => this.near(at, p)).sort((a, b) => far(a) - far(b))[0] ?? null;
  }
  hover(p) {
    const hot = this.dotAt(p);
    const same = hot?.of === this.hot?.of && hot?.i === this.hot?.i;
    this.hot = hot;
    if (!same) this.editor.refresh();
  }
  drop() {
    if (this.press?.dot && this.object) this.object.marks = this.press.before;
    this.press = null;
    this.editor.refresh();
  }

  // ---- marks ----

  begin(kind, points, away) {
    this.commit();
    this.object = new OutlineObject(NOTHING, { away, label: this.editor.label });
    this.change({ kind, points, clicks: [] });
  }
  /** Accept a suggested object, if it is not yet, and open it for corrective clicks. */
  correct(suggested, clicks = []) {
    this.commit();
    const { editor } = this;
    if (editor.suggestion.objects.includes(suggested)) editor.suggestion.takeObjects([suggested]);
    editor.label = suggested.label;
    this.object = new OutlineObject({ kind: "suggested", points: [], clicks: [] }, { label: suggested.label, suggested });
    Object.assign(this.object, { rows: suggested.rows, reach: editor.suggestion.reach(suggested) });
    if (clicks.length) this.change({ ...this.object.marks, clicks });
    else editor.refresh();
  }
  isIn([x, y], { label }) {
    return this.editor.map.at(Math.floor(x), Math.floor(y)) === label;
  }
  remove({ of, i }) {
    const { kind, points, clicks } = this.marks;
    if (of === "clicks") return this.change({ ...this.marks, clicks: clicks.filter((_, n) => n !== i) });
    const next = kind === "click" ? clicks.findIndex(([, side]) => side === "inside") : -1;
    if (next >= 0) return this.change({ kind, points: [clicks[next][0]], clicks: clicks.filter((_, n) => n !== next) });
    if (kind === "points" && points.length > 1) return this.change({ ...this.marks, points: points.filter((_, n) => n !== i) });
    return this.cancel();
  }
  /** Set new marks; undo restores `before`. */
  change(marks, before = this.marks) {
    this.object.past.push(before);
    this.object.future = [];
    this.show(marks);
  }
  show(marks) {
    this.object.marks = marks;
    this.hot = null;
    if (this.object.complete && !isUncorrected(this.object)) this.requestOutline(this.object);
    else this.revert(this.object);
    this.editor.refresh();
  }

  // ---- the outline ----

  /** Request an object's outline; if its marks change meanwhile, another request follows. */
  requestOutline(object) {
    if (object.waiting) return;
    const answer = this.requestUntilCurrent(object).finally(() => this.pending.delete(answer));
    this.pending.add(answer);
  }
  async requestUntilCurrent(object) {
    object.waiting = true;
    for (let marks = null; marks !== object.marks && object.complete && !isUncorrected(object) && !object.dropped;) {
      ({ marks } = object);
      try {
        const found = await this.editor.autosegment(object.request);
        if (!object.dropped && object.complete && !isUncorrected(object)) this.apply(object, found);
      } catch (error) {
        if (object.marks === marks) marks = this.fail(object, error);
      }
    }
    object.waiting = false;
    this.editor.refresh();
  }
  apply(object, { rows, reach = null }) {
    const { editor } = this;
    if (object !== this.object && object.op && !editor.isLast(object.op)) return; // it was accepted and drawn over
    this.revert(object);
    Object.assign(object, { rows, reach });
    const removed = object.suggested ? this.draw(0, subtractRows(object.suggested.rows, rows), { kind: "auto", over: (old) => old === object.label }) : null;
    object.op = this.draw(object.away ? 0 : object.label, rows, { kind: removed ? "+auto" : "auto" }) ?? removed;
    if (!rows.length) editor.showMessage("No object was found there. Undo, or paint it.");
  }
  /** Draw rows as one operation. -> null if no pixel changed */
  draw(to, rows, { kind, over }) {
    const { editor } = this;
    const stroke = this.stroke(to, kind);
    if (over) stroke.over = over;
    stroke.rows(rows);
    const op = stroke.finish();
    editor.view.touch(stroke.takeChanged());
    editor.done(op, { keep: true });
    return op;
  }
  /** Undo the last mark after a failed request. -> the remaining marks */
  fail(object, error) {
    object.marks = object.past.pop() ?? (object.suggested ? object.marks : NOTHING);
    if (object.dropped) return object.marks;
    if (!object.marks.points.length && !object.suggested && object === this.object) this.object = null;
    const what = object === this.object ? "The last click was undone" : "An object is missing";
    this.editor.showMessage(`Auto-segment failed: ${error.message}. ${what}; try again, or use the brush.`, { alarm: true });
    return object.marks;
  }
  revert(object) {
    if (object.op) this.editor.revert(object.op);
    object.op = null;
  }
  /** Resolves when no request is pending. */
  async idle() {
    while (this.pending.size) await Promise.allSettled(this.pending);
  }

  // ---- steps ----

  commit() {
    if (this.collecting) return this.cancel();
    Object.assign(this, { object: null, removes: false, hot: null });
    return this.editor.refresh();
  }
  cancel() {
    const open = this.isOpen || Boolean(this.press);
    if (this.object) {
      this.object.dropped = true;
      this.revert(this.object);
    }
    Object.assign(this, { object: null, press: null, removes: false, hot: null });
    this.editor.refresh();
    return open;
  }
  back() {
    return this.undo();
  }
  undo() {
    if (!this.object) return false;
    const { object } = this;
    if (object.suggested && !object.past.length) return Boolean(this.commit());
    const before = object.past.pop() ?? NOTHING;
    if (!before.points.length && !object.suggested) return this.cancel();
    object.future.push(object.marks);
    this.show(before);
    return true;
  }
  redo() {
    if (!this.object?.future.length) return false;
    this.object.past.push(this.object.marks);
    this.show(this.object.future.pop());
    return true;
  }

  get shape() {
    const { press } = this;
    const box = press?.dragged && !press.dot && !this.collecting ? corners(press.at, press.to) : null;
    if (!this.object && !box) return null;
    const { kind, points, clicks } = this.marks;
    const isHot = (of, i) => this.hot?.of === of && this.hot.i === i;
    const first = kind === "click" ? (this.object?.away ? "outside" : "inside") : "extreme";
    return {
      box: box ?? (kind === "box" ? corners(...points) : null),
      faint: !box,
      points: [...points.map(([x, y], i) => [x, y, first, isHot("points", i)]), ...clicks.map(([[x, y], side], i) => [x, y, side, isHot("clicks", i)])],
    };
  }
}

/** Whether a suggested object has no corrective clicks. */
function isUncorrected({ suggested, marks }) {
  return Boolean(suggested) && !marks.clicks.length;
}

function corners([ax, ay], [bx, by]) {
  return [Math.min(ax, bx), Math.min(ay, by), Math.max(ax, bx), Math.max(ay, by)];
}

/** Marks with one dot moved. */
function moved(marks, { of, i }, p) {
  if (of === "points") return { ...marks, points: marks.points.map((at, n) => (n === i ? p : at)) };
  return { ...marks, clicks: marks.clicks.map(([at, side], n) => (n === i ? [p, side] : [at, side])) };
}
