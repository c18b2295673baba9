// Display of image and labels on two canvases in screen pixels. Labels are painted from the label map only for
// visible pixels, so the cost of a stroke does not depend on the image's size.

import { Area } from "./raster.js";
import { rgb } from "./png.js";
import { autoTone, histogramOf, NEUTRAL, quantile, ToneFilter } from "./tone.js";
import { Orientation } from "./orientation.js";

const BLANK = [0xd0e020ff, 0x38e020ff]; // ABGR: stripes, and the transparent tint between them

export class View {
  constructor(stage, photoCanvas, labelCanvas) {
    Object.assign(this, { stage, photoCanvas, labelCanvas });
    this.photoContext = photoCanvas.getContext("2d"); // transparent outside the image, so that the tone filter does not change the stage
    this.labelContext = labelCanvas.getContext("2d");
    this.filter = new ToneFilter(stage, photoCanvas);
    Object.assign(this, { scale: 1, left: 0, top: 0, ratio: 1, photo: null, map: null, opacity: 0.5, shown: true, blanks: false, auto: false, ...NEUTRAL });
    this.hidden = new Uint8Array(256); // hidden labels
    this.fills = new Uint32Array(256);
    this.edges = new Uint32Array(256);
    this.dirty = new Area();
    this.onchange = () => {};
    this.fitted = true;
    this.handled = false; // whether the user has zoomed or drawn
    this.busy = () => false;
    new ResizeObserver(() => this.resize()).observe(stage);
  }

  show(photo, map, colors) {
    Object.assign(this, { photo, map, colors });
    this.orientation = new Orientation(photo.orientation, photo.width, photo.height);
    this.histogram = histogramOf(photo.levels.at(-1));
    this.middle = quantile(this.histogram, 0.5);
    this.showTone();
    this.paint();
    this.resize();
    this.fit();
  }

  /** Nothing moves the image but the person: it is fitted anew where they changed the window, and stays where it is on the screen where the page
   *  changed about it, or while they draw. */
  resize() {
    const box = this.stage.getBoundingClientRect();
    const around = `${window.innerWidth} ${window.innerHeight} ${window.devicePixelRatio}`;
    const fits = this.fitted && !this.busy() && (around !== this.around || !this.handled);
    if (this.box && !fits && around === this.around) {
      this.left -= (box.left - this.box.left) * this.ratio;
      this.top -= (box.top - this.box.top) * this.ratio;
    }
    Object.assign(this, { box, around });
    this.ratio = window.devicePixelRatio || 1;
    const width = Math.max(1, Math.round(box.width * this.ratio));
    const height = Math.max(1, Math.round(box.height * this.ratio));
    if (this.labelCanvas.width !== width || this.labelCanvas.height !== height) {
      for (const canvas of [this.photoCanvas, this.labelCanvas]) Object.assign(canvas, { width, height });
      this.pixels = null;
    }
    if (fits) this.fit();
    this.redraw();
  }

  // ---- conversion of stage coordinates (CSS pixels) and image coordinates (stored or upright pixels) ----

  toUpright(x, y) {
    return [(x * this.ratio - this.left) / this.scale, (y * this.ratio - this.top) / this.scale];
  }
  toImage(x, y) {
    return this.orientation.toStored(...this.toUpright(x, y));
  }
  toScreen(x, y) {
    const [u, v] = this.orientation.toUpright(x, y);
    return [(u * this.scale + this.left) / this.ratio, (v * this.scale + this.top) / this.ratio];
  }
  /** CSS pixels per image pixel. */
  get zoom() {
    return this.scale / this.ratio;
  }

  fit() {
    if (!this.photo) return;
    const { width, height } = this.labelCanvas;
    this.scale = Math.min((width * 0.96) / this.orientation.width, (height * 0.96) / this.orientation.height);
    this.left = (width - this.orientation.width * this.scale) / 2;
    this.top = (height - this.orientation.height * this.scale) / 2;
    this.fitted = true;
    this.redraw();
  }

  /** Zoom by a factor; the image point at (x, y) keeps its position. */
  zoomAt(x, y, factor) {
    const [u, v] = this.toUpright(x, y);
    const least = 0.3 * Math.min(this.labelCanvas.width / this.orientation.width, this.labelCanvas.height / this.orientation.height);
    this.scale = Math.min(64 * this.ratio, Math.max(Math.min(least, 1), this.scale * factor));
    this.left = x * this.ratio - u * this.scale;
    this.top = y * this.ratio - v * this.scale;
    this.fitted = false;
    this.keepInSight();
    this.redraw();
  }

  pan(dx, dy) {
    this.left += dx * this.ratio;
    this.top += dy * this.ratio;
    this.fitted = false;
    this.keepInSight();
    this.redraw();
  }

  /** Keep part of the image on the stage. */
  keepInSight() {
    const { width, height } = this.labelCanvas;
    const rest = 60 * this.ratio;
    this.left = Math.min(width - rest, Math.max(rest - this.orientation.width * this.scale, this.left));
    this.top = Math.min(height - rest, Math.max(rest - this.orientation.height * this.scale, this.top));
  }

  // ---- tone of the image ----

  /** Set brightness, contrast or gamma; switches "auto" off. @param {Partial<import("./tone.js").Tone>} tone */
  setTone(tone) {
    Object.assign(this, tone, { auto: false });
    this.showTone();
  }

  /** Switch automatic tone on or off, also for later images. */
  setAuto(auto) {
    Object.assign(this, NEUTRAL, { auto });
    this.showTone();
  }

  showTone() {
    if (!this.photo) return;
    if (this.auto) Object.assign(this, autoTone(this.histogram));
    const { brightness, contrast, gamma } = this;
    this.filter.show({ brightness, contrast, gamma }, this.middle);
  }

  // ---- painting ----

  paint() {
    const fill = Math.round(255 * this.opacity);
    const bytes = new Uint8Array(this.fills.buffer);
    const edge = new Uint8Array(this.edges.buffer);
    (this.colors ?? []).forEach((hex, i) => {
      const seen = !this.hidden[i + 1];
      bytes.set(seen ? [...rgb(hex), fill] : [0, 0, 0, 0], 4 * (i + 1));
      edge.set(seen ? [...rgb(hex), Math.max(fill, 235)] : [0, 0, 0, 0], 4 * (i + 1));
    });
    this.redraw();
  }

  redraw() {
    this.moved = true;
    this.schedule();
  }

  /** Mark image pixels of `area` for repainting. */
  touch(area) {
    if (!area || area.empty) return;
    this.dirty.grow(area.x0, area.y0, area.x1, area.y1);
    this.schedule();
  }

  schedule() {
    this.frame ??= requestAnimationFrame(() => {
      this.frame = null;
      this.draw();
    });
  }

  draw() {
    if (!this.photo) return;
    if (this.moved) {
      this.drawPhoto();
      this.drawLabels(0, 0, this.labelCanvas.width, this.labelCanvas.height);
    } else if (!this.dirty.empty) {
      const pad = Math.ceil(this.scale) + 2; // outlines also depend on neighbors
      const { x0, y0, x1, y1 } = this.dirty;
      const [u0, v0, u1, v1] = this.orientation.areaToUpright(x0, y0, x1, y1);
      this.drawLabels(
        Math.floor(u0 * this.scale + this.left) - pad,
        Math.floor(v0 * this.scale + this.top) - pad,
        Math.ceil(u1 * this.scale + this.left) + pad,
        Math.ceil(v1 * this.scale + this.top) + pad,
      );
    }
    this.moved = false;
    this.dirty = new Area();
    this.onchange();
  }

  drawPhoto() {
    const { photoContext: context, photoCanvas: canvas, photo, orientation, scale, left, top } = this;
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, canvas.width, canvas.height);
    const u0 = Math.max(0, Math.floor(-left / scale));
    const v0 = Math.max(0, Math.floor(-top / scale));
    const u1 = Math.min(orientation.width, Math.ceil((canvas.width - left) / scale));
    const v1 = Math.min(orientation.height, Math.ceil((canvas.height - top) / scale));
    if (u1 <= u0 || v1 <= v0) return;
    const [x0, y0, x1, y1] = orientation.areaToStored(u0, v0, u1, v1);
    const level = photo.level(scale);
    const [fx, fy] = [level.width / photo.width, level.height / photo.height];
    context.imageSmoothingEnabled = scale < 3;
    context.setTransform(orientation.a * scale, orientation.b * scale, orientation.c * scale, orientation.d * scale, orientation.e * scale + left, orientation.f * scale + top);
    context.drawImage(level, x0 * fx, y0 * fy, (x1 - x0) * fx, (y1 - y0) * fy, x0, y0, x1 - x0, y1 - y0);
  }

  /** Repaint the labels in a rectangle of screen pixels. */
  drawLabels(x0, y0, x1, y1) {
    const { labelCanvas: canvas, map, orientation, scale, left, top, fills, edges, blanks, hidden } = this;
    x0 = Math.max(0, x0);
    y0 = Math.max(0, y0);
    x1 = Math.min(canvas.width, x1);
    y1 = Math.min(canvas.height, y1);
    if (x1 <= x0 || y1 <= y0) return;
    if (!this.shown && !blanks) return this.labelContext.clearRect(x0, y0, x1 - x0, y1 - y0);
    const [w, h] = [x1 - x0, y1 - y0];
    if (!this.scratch || this.scratch.width !== w || this.scratch.height !== h) this.scratch = new ImageData(w, h);
    const pixels = new Uint32Array(this.scratch.data.buffer);
    const { origin, across, down: downwards } = orientation.strides;
    const columns = new Int32Array(w + 1); // the columns' parts of offsets into the map
    let [from, until] = [w + 1, 0];
    for (let i = 0; i <= w; i += 1) {
      const u = Math.floor((x0 + i + 0.5 - left) / scale);
      if (u < 0 || u >= orientation.width) continue;
      columns[i] = u * across;
      from = Math.min(from, i);
      until = i + 1;
    }
    const { data } = map;
    const stripe = Math.max(4, Math.round(5 * this.ratio));
    const rowOf = (y) => {
      const row = new Int16Array(w + 1).fill(-1);
      const v = Math.floor((y + 0.5 - top) / scale);
      if (v < 0 || v >= orientation.height) return row;
      const base = origin + v * downwards;
      for (let i = from; i < until; i += 1) row[i] = data[base + columns[i]];
      return row;
    };
    let here = rowOf(y0);
    for (let y = y0; y < y1; y += 1) {
      const below = rowOf(y + 1);
      const out = (y - y0) * w;
      for (let i = 0; i < w; i += 1) {
        const v = here[i];
        const right = here[i + 1];
        const down = below[i];
        if (v === right && v === down) {
          if (v > 0) pixels[out + i] = fills[v];
          else pixels[out + i] = v === 0 && blanks ? BLANK[Math.floor((x0 + i + y) / stripe) % 4 ? 1 : 0] : 0;
        } else {
          pixels[out + i] = edges[v > 0 && !hidden[v] ? v : right > 0 && !hidden[right] ? right : down > 0 ? down : 0];
        }
      }
      here = below;
    }
    this.labelContext.putImageData(this.scratch, x0, y0);
  }
}
