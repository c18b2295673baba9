// Tools for areas: fill, erasing in a box, operations on regions.

import { grown, holesOf, regionAt, shrunk, smoothed, spansOf, specksOf } from "../regions.js";
import { Stroke } from "../raster.js";
import { Tool } from "./tool.js";

export class Fill extends Tool {
  click = true;
  get hint() {
    return `${this.editor.words.Click} an area to give it the label, up to the next border.`;
  }
  down(p) {
    const stroke = new Stroke(this.editor.map, this.editor.label, { kind: "fill" });
    stroke.flood(Math.floor(p[0]), Math.floor(p[1]));
    this.editor.view.touch(stroke.takeChanged());
    this.editor.done(stroke.finish());
  }
}

export class BoxErase extends Tool {
  get hint() {
    return `Drag a box: everything inside is erased.${this.editor.words.touch ? "" : " With Alt only the chosen label."}`;
  }
  down(p, { only = false } = {}) {
    Object.assign(this, { start: p, end: p, only });
    this.editor.refresh();
  }
  move(p) {
    if (!this.start) return;
    this.end = p;
    this.editor.refresh();
  }
  get box() {
    const [ax, ay] = this.start;
    const [bx, by] = this.end;
    return [Math.round(Math.min(ax, bx)), Math.round(Math.min(ay, by)), Math.round(Math.max(ax, bx)), Math.round(Math.max(ay, by))];
  }
  up() {
    if (!this.start) return;
    const { label } = this.editor;
    const stroke = new Stroke(this.editor.map, 0, { kind: "box", over: this.only ? (old) => old === label : null });
    stroke.rect(...this.box);
    this.start = null;
    this.editor.view.touch(stroke.takeChanged());
    this.editor.done(stroke.finish());
    this.editor.refresh();
  }
  cancel() {
    const open = Boolean(this.start);
    this.start = null;
    this.editor.refresh();
    return open;
  }
  get shape() {
    return this.start ? { box: this.box } : null;
  }
}

const REACHES = [1, 2, 3, 5, 8, 12, 20, 32];
export const REGION_WORK = {
  grow: (px) => `make it ${px} px wider`,
  shrink: (px) => `make it ${px} px narrower`,
  smooth: (px) => `smooth its outline over ${px} px`,
  holes: () => "fill its holes that are unlabeled",
  specks: (px) => `erase every part of its label with fewer than ${(4 * px) ** 2} pixels`,
};

/** Grow, shrink, smooth or fill the holes of the clicked region, or remove specks of its label. */
export class Region extends Tool {
  click = true;
  work = "grow";
  get reach() {
    const { width, height } = this.editor.map;
    this.step ??= Math.max(0, REACHES.findIndex((px) => px >= Math.max(width, height) / 1200));
    return REACHES[this.step];
  }
  get hint() {
    return `${this.editor.words.Click} a region to ${REGION_WORK[this.work](this.reach)}.`;
  }
  get ways() {
    return Object.keys(REGION_WORK).map((name) => `region-${name}`);
  }
  get options() {
    return this.work === "holes" ? this.ways : [...this.ways, "region-less", "region-more"];
  }
  isOn(id) {
    return id === `region-${this.work}`;
  }
  resize(factor) {
    this.step = Math.min(REACHES.length - 1, Math.max(0, REACHES.indexOf(this.reach) + Math.sign(factor - 1)));
  }
  down(p) {
    const { editor } = this;
    const { map } = editor;
    const [x, y] = p.map(Math.floor);
    const value = map.at(x, y);
    if (!value) return editor.showMessage("Nothing is labeled there.");
    const r = this.reach;
    const own = (old) => old === value;
    const free = (old) => old === 0;
    const region = this.work === "specks" ? null : regionAt(map, x, y, r + 2);
    const changes = {
      grow: () => [[value, grown(region, r), free]],
      shrink: () => [[0, inverse(region, shrunk(region, r, map)), own]],
      smooth: () => {
        const after = smoothed(region, r, map);
        return [[0, inverse(region, after), own], [value, after, free]];
      },
      holes: () => [[value, holesOf(region), free]],
      specks: () => [[0, specksOf(map, value, (4 * r) ** 2), own]],
    }[this.work]();
    const before = editor.history.cursor;
    for (const [to, patch, wanted] of changes) {
      const joined = editor.history.cursor > before ? "+" : ""; // undone together with the first
      const stroke = new Stroke(map, to, { kind: `${joined}region-${this.work}` });
      for (const span of spansOf(map, patch, wanted)) stroke.span(...span);
      editor.view.touch(stroke.takeChanged());
      const op = stroke.finish();
      if (op) editor.done(op, { keep: true });
    }
    return editor.history.cursor === before ? editor.showMessage("There is nothing to change here.") : undefined;
  }
}

/** Pixels of `region` that are not in `after`. */
function inverse(region, after) {
  return { ...region, data: region.data.map((v, i) => (v && !after.data[i] ? 1 : 0)) };
}

export class Pan extends Tool {
  get hint() {
    return `Drag to move the image. ${this.editor.words.touch ? "Two fingers" : "The wheel or two fingers"} zoom.`;
  }
}
