// A tool handles down / move / up in image coordinates (floats), and describes the next step in `hint`. `editor` is the element: label, map, history,
// view, size, and methods for tools. A tool with `click` acts on down alone.

import { Stroke } from "../raster.js";

export class Tool {
  click = false;
  taps = false; // a press and release at one point sets a point, as the crosshair's key does
  constructor(editor) {
    this.editor = editor;
  }
  down() {}
  move() {}
  up() {}
  /** Enter / C: finish the open object. */
  commit() {}
  /** Finish the open object before a change of tools or a submission. */
  finish() {
    this.commit();
  }
  /** Resolves when no request is pending. */
  async idle() {}
  /** Esc: cancel the open object. -> whether there was one */
  cancel() {
    return false;
  }
  /** Backspace: remove the last point. */
  back() {
    return false;
  }
  /** Undo and redo within the open object. -> whether anything changed */
  undo() {
    return false;
  }
  redo() {
    return false;
  }
  /** Cancel what the first finger started when a second one touches. */
  drop() {
    this.cancel();
  }
  /** Points and lines to show over the image: {line: [[x, y]], closing, points: [[x, y, kind, hot]], box} */
  get shape() {
    return null;
  }
  /** Ids of the options shown beside the hint; those with `isOn` are shown as pressed. */
  get options() {
    return [];
  }
  stroke(to, kind) {
    return new Stroke(this.editor.map, to, { kind, over: to ? this.editor.over() : null });
  }
  /** Whether two image points are within `pixels` screen pixels. */
  near([ax, ay], [bx, by], pixels = this.editor.touch ? 18 : 9) {
    return Math.hypot(ax - bx, ay - by) < pixels / this.editor.view.zoom;
  }
}

/** Movement in screen pixels from which a click is a drag. */
export const DRAG = 5;
