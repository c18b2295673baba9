// Intelligent scissors: between clicked points the line follows the edges of the image, as computed by the server.

import { Polygon } from "./polygon.js";

export class Scissors extends Polygon {
  kind = "scissors";
  paths = []; // paths[i]: from corner i to the next one, without its end
  get hint() {
    const { touch, Click, key } = this.editor.words;
    if (this.closed || !this.points.length) return this.points.length ? super.hint : `${Click} along an edge: the line follows it.`;
    return `${Click} the next place. ${touch ? "Tap the first one to close." : `Close with ${key("commit")} or the first place.`}`;
  }
  add(p) {
    const from = this.points.at(-1);
    super.add(p);
    if (!from) return;
    const index = this.points.length - 2;
    this.paths[index] = this.live && this.live.to === p ? this.live.path : [from];
    this.trace(from, p, (path) => (this.paths[index] = path));
  }
  hover(p) {
    super.hover(p);
    if (this.closed || !this.points.length) return;
    this.trace(this.points.at(-1), p, (path) => (this.live = { to: p, path }), { live: true });
  }
  close() {
    if (this.points.length < 3) return;
    const index = this.points.length - 1;
    this.paths[index] ??= [this.points[index]];
    this.live = null;
    super.close();
    this.trace(this.points[index], this.points[0], (path) => (this.paths[index] = path));
  }
  /** Request the path between two points. Of the requests while the pointer moves, only the latest waits. */
  async trace(from, to, take, { live = false } = {}) {
    if (live) {
      this.wanted = [from, to, take];
      if (this.asking) return;
    }
    const points = this.points;
    try {
      if (live) this.asking = true;
      const { path } = await this.editor.services.scissors({ from, to });
      const stays = live ? this.points.at(-1) === from && !this.closed : this.points.length >= points.length && points.every((point, i) => point === this.points[i]);
      if (stays && path.length) take([from, ...path.slice(1, -1)]);
    } catch (error) {
      if (!live) this.editor.showMessage(`The edge was not found: ${error.message}. The line is straight there.`, { alarm: true });
    } finally {
      if (live) this.asking = false;
    }
    if (!live && this.closed) this.draw();
    this.editor.overlay();
    if (live && this.wanted && this.wanted[1] !== to) this.trace(...this.wanted, { live: true });
  }
  /** Recompute the sides of a moved or deleted corner. */
  up() {
    const [corner, moved] = [this.held, this.moved];
    super.up();
    if (corner === undefined || !this.closed) return;
    if (!moved) this.paths.splice(corner, 1);
    this.retrace();
  }
  bend(side, p) {
    this.paths.splice(side, 0, [this.points[side]]);
    super.bend(side, p);
  }
  move(p) {
    if (this.held !== undefined) for (const i of [this.held, (this.held + this.points.length - 1) % this.points.length]) this.paths[i] = null;
    super.move(p);
  }
  undo() {
    const done = super.undo();
    this.retrace();
    return done;
  }
  redo() {
    const done = super.redo();
    this.retrace();
    return done;
  }
  /** Request the paths of sides whose corners changed. */
  retrace() {
    const n = this.points.length;
    this.paths.length = Math.min(this.paths.length, this.closed ? n : Math.max(0, n - 1));
    for (let i = 0; i < (this.closed ? n : n - 1); i += 1) {
      const path = this.paths[i];
      const next = this.points[(i + 1) % n];
      if (path && path[0] === this.points[i] && (path.to === undefined || path.to === next)) continue;
      this.paths[i] = [this.points[i]];
      this.trace(this.points[i], next, (found) => (this.paths[i] = Object.assign(found, { to: next })));
    }
  }
  outline() {
    const sides = this.points.slice(0, this.closed ? undefined : -1).flatMap((corner, i) => this.paths[i] ?? [corner]);
    if (this.closed) return sides;
    return [...sides, this.points.at(-1), ...(this.live && this.pointer ? this.live.path.slice(1) : [])];
  }
  reset() {
    Object.assign(this, { paths: [], live: null, wanted: null });
    super.reset();
  }
  back() {
    this.live = null;
    const open = super.back();
    this.paths.length = Math.min(this.paths.length, Math.max(0, this.points.length - 1));
    return open;
  }
}
