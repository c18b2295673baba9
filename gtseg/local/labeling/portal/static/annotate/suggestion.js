// What a model proposes for an image: objects that are shown with dashed outlines and labeled only when a person takes them.

import { h } from "./dom.js";
import { Stroke } from "./raster.js";

const TAKEN = 0.9; // share of an object's pixels that are labeled so: it was taken before the page was loaded again

/** @typedef {{label: number, area: number, rows: number[][], outlines: number[][][]}} Proposed  rows: [y, x0, x1, x0, x1, ...], x1 exclusive */

export class Suggestion {
  /** @param {any} desk  @param {{model: string, objects: Proposed[]} | null} found */
  constructor(desk, found) {
    this.desk = desk;
    this.objects = (found?.objects ?? []).filter((object) => object.label <= desk.labels.length && !this.isTaken(object));
    /** @type {Map<object, Proposed>} */
    this.taken = new Map();
  }

  get any() {
    return this.objects.length > 0;
  }

  get words() {
    const { key } = this.desk.words;
    const count = this.objects.length === 1 ? "an object" : `${this.objects.length} objects`;
    return `A model suggests ${count} (dashed). ${key("takeSuggested")} takes the one under the pointer, else the largest; ${key("clearSuggested")} clears them. Nothing counts before it is taken.`;
  }

  isTaken({ label, area, rows }) {
    const { data, width } = this.desk.map;
    let same = 0;
    for (const [y, ...ends] of rows) for (let i = 0; i + 1 < ends.length; i += 2) for (let x = ends[i]; x < ends[i + 1]; x += 1) same += data[y * width + x] === label ? 1 : 0;
    return same >= TAKEN * area;
  }

  /** The object at stage coordinates, else the largest. */
  at(place) {
    if (place) {
      const [x, y] = this.desk.view.toImage(...place).map(Math.floor);
      const holds = ([row, ...ends]) => row === y && ends.filter((end) => end <= x).length % 2 === 1;
      const under = this.objects.find(({ rows }) => rows.some(holds));
      if (under) return under;
    }
    return this.objects[0];
  }

  /** Label one object as the model proposes it: a step like any other, which can be undone. */
  take(place) {
    const object = this.at(place);
    if (!object) return;
    const { desk } = this;
    const stroke = new Stroke(desk.map, object.label, { over: desk.over(), kind: "suggested" });
    stroke.rows(object.rows);
    const op = stroke.finish();
    this.objects = this.objects.filter((one) => one !== object);
    desk.view.touch(stroke.area);
    if (op) {
      this.taken.set(op, object);
      desk.done(op, { keep: true });
    }
    if (this.any) desk.say(this.words);
  }

  /** The step that took an object was undone, or done again. */
  stepped(op, way) {
    const object = this.taken.get(op);
    if (!object) return;
    this.objects = this.objects.filter((one) => one !== object);
    if (way === "undo") this.objects = [...this.objects, object].sort((a, b) => b.area - a.area);
  }

  clear() {
    this.objects = [];
    this.desk.say("The suggestions are cleared.");
  }

  /** Marks on the stage. */
  marks() {
    const { view, shownColors: colors } = this.desk;
    const line = (points) => `M${points.map((p) => view.toScreen(...p).map((v) => v.toFixed(1)).join(" ")).join("L")}Z`;
    return this.objects.map(({ label, outlines }) => h("path", { d: outlines.map(line).join(""), class: "suggested", style: { stroke: colors[label - 1], fill: colors[label - 1] } }));
  }
}
