// What is seen: the photograph on one canvas, the labels on another, both of the screen's own pixels. The labels are painted from the label map for
// the pixels in sight only, so a stroke costs what it touches on the screen, whatever the size of the image.

import { Area } from "./raster.js";
import { rgb } from "./png.js";

const BLANK = [0xd0e020ff, 0x38e020ff]; // ABGR: a stripe, and the tint between stripes that lets the photograph through

export class View {
  constructor(stage, photoCanvas, labelCanvas) {
    Object.assign(this, { stage, photoCanvas, labelCanvas });
    this.photoContext = photoCanvas.getContext("2d", { alpha: false });
    this.labelContext = labelCanvas.getContext("2d");
    Object.assign(this, { scale: 1, left: 0, top: 0, ratio: 1, photo: null, map: null, opacity: 0.5, contrast: 1, shown: true, blanks: false });
    this.fills = new Uint32Array(256);
    this.edges = new Uint32Array(256);
    this.dirty = new Area();
    this.onchange = () => {};
    this.fitted = true;
    new ResizeObserver(() => this.resize()).observe(stage);
  }

  show(photo, map, colours) {
    Object.assign(this, { photo, map, colours });
    this.paint();
    this.resize();
    this.fit();
  }

  resize() {
    const box = this.stage.getBoundingClientRect();
    this.ratio = window.devicePixelRatio || 1;
    const width = Math.max(1, Math.round(box.width * this.ratio));
    const height = Math.max(1, Math.round(box.height * this.ratio));
    if (this.labelCanvas.width !== width || this.labelCanvas.height !== height) {
      for (const canvas of [this.photoCanvas, this.labelCanvas]) Object.assign(canvas, { width, height });
      this.pixels = null;
    }
    if (this.fitted) this.fit();
    this.redraw();
  }

  // ---- from the screen to the image and back; the screen in CSS pixels of the stage, the image in its stored pixels ----

  toImage(x, y) {
    return [(x * this.ratio - this.left) / this.scale, (y * this.ratio - this.top) / this.scale];
  }
  toScreen(x, y) {
    return [(x * this.scale + this.left) / this.ratio, (y * this.scale + this.top) / this.ratio];
  }
  /** CSS pixels per image pixel. */
  get zoom() {
    return this.scale / this.ratio;
  }

  fit() {
    if (!this.photo) return;
    const { width, height } = this.labelCanvas;
    this.scale = Math.min((width * 0.96) / this.photo.width, (height * 0.96) / this.photo.height);
    this.left = (width - this.photo.width * this.scale) / 2;
    this.top = (height - this.photo.height * this.scale) / 2;
    this.fitted = true;
    this.redraw();
  }

  /** Keep the image point under (x, y) where it is. */
  zoomAt(x, y, factor) {
    const [ix, iy] = this.toImage(x, y);
    const least = 0.3 * Math.min(this.labelCanvas.width / this.photo.width, this.labelCanvas.height / this.photo.height);
    this.scale = Math.min(64 * this.ratio, Math.max(Math.min(least, 1), this.scale * factor));
    this.left = x * this.ratio - ix * this.scale;
    this.top = y * this.ratio - iy * this.scale;
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

  /** Some of the image always stays on the stage. */
  keepInSight() {
    const { width, height } = this.labelCanvas;
    const rest = 60 * this.ratio;
    this.left = Math.min(width - rest, Math.max(rest - this.photo.width * this.scale, this.left));
    this.top = Math.min(height - rest, Math.max(rest - this.photo.height * this.scale, this.top));
  }

  // ---- painting ----

  paint() {
    const fill = Math.round(255 * this.opacity);
    const bytes = new Uint8Array(this.fills.buffer);
    const edge = new Uint8Array(this.edges.buffer);
    (this.colours ?? []).forEach((hex, i) => {
      bytes.set([...rgb(hex), fill], 4 * (i + 1));
      edge.set([...rgb(hex), Math.max(fill, 235)], 4 * (i + 1));
    });
    this.redraw();
  }

  redraw() {
    this.moved = true;
    this.schedule();
  }

  /** Image pixels of `area` have another label now. */
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
      const pad = Math.ceil(this.scale) + 2; // an edge belongs to the neighbour too
      this.drawLabels(
        Math.floor(this.dirty.x0 * this.scale + this.left) - pad,
        Math.floor(this.dirty.y0 * this.scale + this.top) - pad,
        Math.ceil(this.dirty.x1 * this.scale + this.left) + pad,
        Math.ceil(this.dirty.y1 * this.scale + this.top) + pad,
      );
    }
    this.moved = false;
    this.dirty = new Area();
    this.onchange();
  }

  drawPhoto() {
    const { photoContext: context, photoCanvas: canvas, photo, scale, left, top } = this;
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.fillStyle = getComputedStyle(this.stage).backgroundColor;
    context.fillRect(0, 0, canvas.width, canvas.height);
    const x0 = Math.max(0, Math.floor(-left / scale));
    const y0 = Math.max(0, Math.floor(-top / scale));
    const x1 = Math.min(photo.width, Math.ceil((canvas.width - left) / scale));
    const y1 = Math.min(photo.height, Math.ceil((canvas.height - top) / scale));
    if (x1 <= x0 || y1 <= y0) return;
    const level = photo.level(scale);
    const [fx, fy] = [level.width / photo.width, level.height / photo.height];
    context.imageSmoothingEnabled = scale < 3;
    context.drawImage(level, x0 * fx, y0 * fy, (x1 - x0) * fx, (y1 - y0) * fy, x0 * scale + left, y0 * scale + top, (x1 - x0) * scale, (y1 - y0) * scale);
  }

  /** Repaint the labels in a rectangle of the stage's own pixels. */
  drawLabels(x0, y0, x1, y1) {
    const { labelCanvas: canvas, map, scale, left, top, fills, edges, blanks } = this;
    x0 = Math.max(0, x0);
    y0 = Math.max(0, y0);
    x1 = Math.min(canvas.width, x1);
    y1 = Math.min(canvas.height, y1);
    if (x1 <= x0 || y1 <= y0) return;
    if (!this.shown && !blanks) return this.labelContext.clearRect(x0, y0, x1 - x0, y1 - y0);
    const [w, h] = [x1 - x0, y1 - y0];
    if (!this.scratch || this.scratch.width !== w || this.scratch.height !== h) this.scratch = new ImageData(w, h);
    const pixels = new Uint32Array(this.scratch.data.buffer);
    const columns = new Int32Array(w + 1);
    for (let i = 0; i <= w; i += 1) {
      const ix = Math.floor((x0 + i + 0.5 - left) / scale);
      columns[i] = ix < 0 || ix >= map.width ? -1 : ix;
    }
    const { data, width } = map;
    const stripe = Math.max(4, Math.round(5 * this.ratio));
    const rowOf = (y) => {
      const row = new Int16Array(w + 1).fill(-1);
      const iy = Math.floor((y + 0.5 - top) / scale);
      if (iy < 0 || iy >= map.height) return row;
      const base = iy * width;
      for (let i = 0; i <= w; i += 1) if (columns[i] >= 0) row[i] = data[base + columns[i]];
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
          pixels[out + i] = edges[v > 0 ? v : right > 0 ? right : down > 0 ? down : 0];
        }
      }
      here = below;
    }
    this.labelContext.putImageData(this.scratch, x0, y0);
  }
}
