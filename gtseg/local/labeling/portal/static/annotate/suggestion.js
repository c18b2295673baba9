// Objects suggested by a model: shown with dashed outlines, and labeled only when the worker accepts them. Accepted objects can be
// corrected by clicks of the auto-segment tool (tools/auto.js), starting from the suggested mask.

import { h } from "./dom.js";
import { Stroke } from "./raster.js";
import { distanceTo } from "./rows.js";

const TAKEN = 0.5; // share of an object's pixels with its label from which it counts as accepted when the page is loaded again
const REACH = 0.3; // margin around an object's box in which clicks can correct it, as a share of its longer side (mask_correction.py)
const NEAR = 0.15; // margin around the box in which a click starts correcting the object, as a share of the longer side

/** @typedef {{label: number, area: number, rows: number[][], outlines: number[][][], number: number}} Proposed  rows: [y, x0, x1, x0, x1, ...], x1 exclusive */

export class Suggestion {
  /** @param {any} editor  @param {{model: string, objects: Proposed[]} | null} found */
  constructor(editor, found) {
    this.editor = editor;
    const known = (found?.objects ?? []).map((object, number) => ({ ...object, number })).filter(({ label }) => label <= editor.labels.length);
    /** Objects shown as suggestions. */
    this.objects = known.filter((object) => !this.isTaken(object));
    /** Accepted objects. */
    this.accepted = known.filter((object) => !this.objects.includes(object));
    /** @type {Map<object, Proposed[]>} first and last operation of a step -> the objects that it accepted */
    this.steps = new Map();
  }

  get any() {
    return this.objects.length > 0;
  }

  get words() {
    const { key, touch } = this.editor.words;
    const count = this.objects.length === 1 ? "an object" : `${this.objects.length} objects`;
    const clicks = touch ? "a tap on one takes it for correction" : "with auto-segment, a click on one takes it for correction and a right click clears it";
    return `A model suggests ${count} (dashed). ${key("takeAllSuggested")} takes all, ${key("takeSuggested")} the one under the pointer; ${clicks}. Suggestions are not part of your answer until you take them.`;
  }

  isTaken({ label, area, rows }) {
    const { data, width } = this.editor.map;
    let same = 0;
    for (const [y, ...ends] of rows) for (let i = 0; i + 1 < ends.length; i += 2) for (let x = ends[i]; x < ends[i + 1]; x += 1) same += data[y * width + x] === label ? 1 : 0;
    return same >= TAKEN * area;
  }

  /** The proposed object at a place of the image, or undefined. */
  find([px, py]) {
    const [x, y] = [Math.floor(px), Math.floor(py)];
    const holds = ([row, ...ends]) => row === y && ends.filter((end) => end <= x).length % 2 === 1;
    return this.objects.find(({ rows }) => rows.some(holds));
  }

  /** The taken object that a click at a place of the image corrects: of those whose box holds the place the nearest, or undefined. */
  findAccepted([x, y], { removes }) {
    const { label, map } = this.editor;
    const wanted = removes ? map.at(Math.floor(x), Math.floor(y)) : label;
    const holds = (object) => {
      const [x0, y0, x1, y1] = boxOf(object, NEAR);
      return object.label === wanted && x >= x0 && y >= y0 && x < x1 && y < y1;
    };
    const far = new Map(this.accepted.filter(holds).map((object) => [object, distanceTo(object.rows, [x, y])]));
    return [...far.keys()].sort((a, b) => far.get(a) - far.get(b))[0];
  }

  /** Area in which clicks can correct an object: [left, top, right, bottom]. */
  reach(object) {
    return boxOf(object, REACH);
  }

  /** Accept the object under the pointer (stage coordinates), else the largest. */
  take(place) {
    const object = (place && this.find(this.editor.view.toImage(...place))) ?? this.objects[0];
    if (object) this.takeObjects([object]);
  }

  takeAll() {
    this.takeObjects(this.objects);
  }

  /** Accept objects in one step, which can be undone. @param {Proposed[]} objects */
  takeObjects(objects) {
    const { editor } = this;
    const ops = [];
    for (const { label, rows } of objects) {
      const stroke = new Stroke(editor.map, label, { over: editor.over(), kind: ops.length ? "+suggested" : "suggested" });
      stroke.rows(rows);
      const op = stroke.finish();
      editor.view.touch(stroke.area);
      if (op) ops.push(op);
    }
    this.move(objects, this.objects, this.accepted);
    for (const op of ops) editor.done(op, { keep: true });
    if (ops.length) for (const op of [ops[0], ops[ops.length - 1]]) this.steps.set(op, objects);
    if (this.any) editor.showMessage(this.words);
  }

  move(objects, from, to) {
    const [left, more] = [from.filter((one) => !objects.includes(one)), [...to, ...objects.filter((one) => !to.includes(one))].sort((a, b) => b.area - a.area)];
    if (from === this.objects) [this.objects, this.accepted] = [left, more];
    else [this.accepted, this.objects] = [left, more];
  }

  /** Update the lists after the step that accepted objects was undone or redone. */
  stepped(op, way) {
    const objects = this.steps.get(op);
    if (!objects) return;
    if (way === "undo") this.move(objects, this.accepted, this.objects);
    else this.move(objects, this.objects, this.accepted);
  }

  /** @param {Proposed} object */
  drop(object) {
    this.objects = this.objects.filter((one) => one !== object);
    this.editor.showMessage(this.any ? this.words : "The suggestion is cleared.");
    this.editor.refresh();
  }

  clear() {
    this.objects = [];
    this.editor.showMessage("The suggestions are cleared.");
  }

  /** Outlines to show on the stage. */
  marks() {
    const { view, shownColors: colors } = this.editor;
    const line = (points) => `M${points.map((p) => view.toScreen(...p).map((v) => v.toFixed(1)).join(" ")).join("L")}Z`;
    return this.objects.map(({ label, outlines }) => h("path", { d: outlines.map(line).join(""), class: "suggested", style: { stroke: colors[label - 1], fill: colors[label - 1] } }));
  }
}

/** An object's box with a margin, a share of its longer side: [left, top, right, bottom]. */
function boxOf({ rows }, margin) {
  const x0 = Math.min(...rows.map((row) => row[1]));
  const x1 = Math.max(...rows.map((row) => row[row.length - 1]));
  const [y0, y1] = [rows[0][0], rows[rows.length - 1][0] + 1];
  const more = margin * Math.max(x1 - x0, y1 - y0);
  return [x0 - more, y0 - more, x1 + more, y1 + more];
}
