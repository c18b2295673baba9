// A tool answers down / move / up in image coordinates (floats), and says what to do next in `hint`. `desk` is the element: label, map, history,
// view, size, and what a tool may ask of it. A tool with `click` acts on down alone.

import { Stroke } from "../raster.js";

export class Tool {
  click = false;
  taps = false; // a press and a release at one place make a point: what the crosshair's key does
  constructor(desk) {
    this.desk = desk;
  }
  down() {}
  move() {}
  up() {}
  /** Enter / C: what is open is done. */
  commit() {}
  /** Another tool is taken, or the image is submitted: what is open is done. */
  finish() {
    this.commit();
  }
  /** When nothing is under way any more. */
  async settled() {}
  /** Esc: what is open is given up. -> whether something was. */
  cancel() {
    return false;
  }
  /** Backspace: the last point goes. */
  back() {
    return false;
  }
  /** Undo and redo inside what is open. -> whether there was something. */
  undo() {
    return false;
  }
  redo() {
    return false;
  }
  /** A second finger came: what the first one began is given up. */
  drop() {
    this.cancel();
  }
  /** Points and lines to show over the image: {line: [[x, y]], closing, points: [[x, y, kind, hot]], box} */
  get shape() {
    return null;
  }
  /** Ids of actions that are offered beside the hint while the tool is in hand; those that `isOn` are pressed. */
  get options() {
    return [];
  }
  stroke(to, kind) {
    return new Stroke(this.desk.map, to, { kind, over: to ? this.desk.over() : null });
  }
  /** A place on the image within so many pixels of the screen. */
  near([ax, ay], [bx, by], pixels = this.desk.touch ? 18 : 9) {
    return Math.hypot(ax - bx, ay - by) < pixels / this.desk.view.zoom;
  }
}

/** How far a pointer moves, in pixels of the screen, before a click is a drag. */
export const DRAG = 5;
