// @ts-check
// The label map: one byte per pixel of the stored image, 0 = unlabeled, n = the n-th label; and rasterization without
// antialiasing: a pixel belongs to a shape if its center (x + 0.5, y + 0.5) does.

/** @typedef {{to: number, kind: string, runs: Int32Array}} Operation  `runs`: offset, length and old value of each run, three numbers each */

/** Runs of pixels that an operation changed: offset, length, old value, three numbers each. */
class Runs {
  constructor() {
    this.list = new Int32Array(96);
    this.length = 0;
  }
  add(offset, count, old) {
    if (this.length + 3 > this.list.length) {
      const longer = new Int32Array(this.list.length * 2);
      longer.set(this.list);
      this.list = longer;
    }
    this.list[this.length++] = offset;
    this.list[this.length++] = count;
    this.list[this.length++] = old;
  }
  done() {
    return this.list.slice(0, this.length);
  }
}

/** A rectangle of image pixels; x1 and y1 are exclusive. */
export class Area {
  constructor(x0 = Infinity, y0 = Infinity, x1 = -Infinity, y1 = -Infinity) {
    this.x0 = x0;
    this.y0 = y0;
    this.x1 = x1;
    this.y1 = y1;
  }
  grow(x0, y0, x1, y1) {
    this.x0 = Math.min(this.x0, x0);
    this.y0 = Math.min(this.y0, y0);
    this.x1 = Math.max(this.x1, x1);
    this.y1 = Math.max(this.y1, y1);
  }
  join(other) {
    if (other) this.grow(other.x0, other.y0, other.x1, other.y1);
  }
  get empty() {
    return this.x1 <= this.x0 || this.y1 <= this.y0;
  }
}

export class LabelMap {
  constructor(width, height) {
    this.width = width;
    this.height = height;
    this.data = new Uint8Array(width * height);
    this.counts = new Float64Array(256);
    this.counts[0] = width * height;
    this.locked = new Uint8Array(256); // 1: no stroke changes pixels of this label or adds any
  }

  at(x, y) {
    return x < 0 || y < 0 || x >= this.width || y >= this.height ? 0 : this.data[y * this.width + x];
  }

  recount() {
    this.counts.fill(0);
    for (const value of this.data) this.counts[value] += 1;
  }

  /** Apply an operation (redo) or restore the previous pixels (undo). -> the changed Area */
  replay(op, { undo = false } = {}) {
    const area = new Area();
    const { runs, to } = op;
    const order = undo ? -3 : 3;
    for (let i = undo ? runs.length - 3 : 0; i >= 0 && i < runs.length; i += order) {
      const [offset, count, old] = [runs[i], runs[i + 1], runs[i + 2]];
      const [before, after] = undo ? [to, old] : [old, to];
      this.data.fill(after, offset, offset + count);
      this.counts[before] -= count;
      this.counts[after] += count;
      const y = Math.floor(offset / this.width);
      const x = offset - y * this.width;
      area.grow(x, y, x + count, y + 1);
    }
    return area;
  }
}

/** An operation being drawn: its pixels become `to`. `over` decides which old values may be replaced. */
export class Stroke {
  /** @param {LabelMap} map  @param {number} to  @param {{over?: ((old: number) => boolean) | null, kind?: string}} [options] */
  constructor(map, to, { over = null, kind = "draw" } = {}) {
    this.map = map;
    this.to = to;
    this.over = over;
    this.kind = kind;
    this.runs = new Runs();
    this.area = new Area();
    this.fresh = new Area();
  }

  /** Pixels x0 <= x < x1 of row y. */
  span(y, x0, x1) {
    const { map, to, over } = this;
    const { locked } = map;
    if (y < 0 || y >= map.height || locked[to]) return;
    const from = Math.max(0, x0);
    const until = Math.min(map.width, x1);
    const base = y * map.width;
    let x = from;
    while (x < until) {
      const old = map.data[base + x];
      const start = x;
      do x += 1;
      while (x < until && map.data[base + x] === old);
      if (old === to || locked[old] || (over && !over(old))) continue;
      this.runs.add(base + start, x - start, old);
      map.data.fill(to, base + start, base + x);
      map.counts[old] -= x - start;
      map.counts[to] += x - start;
      this.area.grow(start, y, x, y + 1);
      this.fresh.grow(start, y, x, y + 1);
    }
  }

  /** The Area changed since the last call. */
  takeChanged() {
    const fresh = this.fresh;
    this.fresh = new Area();
    return fresh;
  }

  /** A brush of `diameter` pixels drawn from (ax, ay) to (bx, by): the hull of two discs. */
  capsule(ax, ay, bx, by, diameter) {
    const r = Math.max(diameter / 2, 0.5);
    const length = Math.hypot(bx - ax, by - ay);
    if (diameter <= 1) return this.line(ax, ay, bx, by);
    const nx = length ? (-(by - ay) / length) * r : 0;
    const ny = length ? ((bx - ax) / length) * r : 0;
    const quad = [[ax + nx, ay + ny], [bx + nx, by + ny], [bx - nx, by - ny], [ax - nx, ay - ny]];
    const first = Math.max(0, Math.floor(Math.min(ay, by) - r));
    const last = Math.min(this.map.height - 1, Math.ceil(Math.max(ay, by) + r));
    for (let y = first; y <= last; y += 1) {
      const yc = y + 0.5;
      let low = Infinity;
      let high = -Infinity;
      for (const [cx, cy] of [[ax, ay], [bx, by]]) {
        const rest = r * r - (yc - cy) * (yc - cy);
        if (rest < 0) continue;
        const half = Math.sqrt(rest);
        low = Math.min(low, cx - half);
        high = Math.max(high, cx + half);
      }
      if (length) {
        for (let i = 0; i < 4; i += 1) {
          const [px, py] = quad[i];
          const [qx, qy] = quad[(i + 1) % 4];
          if (py === qy || yc < Math.min(py, qy) || yc > Math.max(py, qy)) continue;
          const x = px + ((yc - py) / (qy - py)) * (qx - px);
          low = Math.min(low, x);
          high = Math.max(high, x);
        }
      }
      if (high >= low) this.span(y, Math.ceil(low - 0.5), Math.floor(high - 0.5) + 1);
    }
  }

  /** One pixel wide, without gaps (Bresenham). */
  line(ax, ay, bx, by) {
    const [ex, ey] = [Math.floor(bx), Math.floor(by)];
    let [x, y] = [Math.floor(ax), Math.floor(ay)];
    const dx = Math.abs(ex - x);
    const dy = -Math.abs(ey - y);
    const sx = x < ex ? 1 : -1;
    const sy = y < ey ? 1 : -1;
    let error = dx + dy;
    for (;;) {
      this.span(y, x, x + 1);
      if (x === ex && y === ey) return;
      const twice = 2 * error;
      if (twice >= dy) { error += dy; x += sx; }
      if (twice <= dx) { error += dx; y += sy; }
    }
  }

  /** Pixels whose center is inside the outline [[x, y], ...] (even-odd rule). */
  polygon(points) {
    const ys = points.map((p) => p[1]);
    const first = Math.max(0, Math.floor(Math.min(...ys)));
    const last = Math.min(this.map.height - 1, Math.ceil(Math.max(...ys)));
    for (let y = first; y <= last; y += 1) {
      const yc = y + 0.5;
      const crossings = [];
      for (let i = 0; i < points.length; i += 1) {
        const [px, py] = points[i];
        const [qx, qy] = points[(i + 1) % points.length];
        if (py <= yc !== qy <= yc) crossings.push(px + ((yc - py) / (qy - py)) * (qx - px));
      }
      crossings.sort((a, b) => a - b);
      for (let i = 0; i + 1 < crossings.length; i += 2) {
        this.span(y, Math.ceil(crossings[i] - 0.5), Math.ceil(crossings[i + 1] - 0.5));
      }
    }
  }

  rect(x0, y0, x1, y1) {
    for (let y = Math.max(0, y0); y < Math.min(this.map.height, y1); y += 1) this.span(y, x0, x1);
  }

  /** The connected area (4 neighbors) of one value around (x, y). */
  flood(x, y) {
    const { map, to } = this;
    const old = map.at(x, y);
    if (x < 0 || y < 0 || x >= map.width || y >= map.height || old === to) return;
    const { width, height, data } = map;
    const stack = [[x, y]];
    while (stack.length) {
      const [sx, sy] = stack.pop();
      const base = sy * width;
      if (data[base + sx] !== old) continue;
      let left = sx;
      while (left > 0 && data[base + left - 1] === old) left -= 1;
      let right = sx + 1;
      while (right < width && data[base + right] === old) right += 1;
      this.span(sy, left, right);
      for (const ny of [sy - 1, sy + 1]) {
        if (ny < 0 || ny >= height) continue;
        let open = false;
        for (let nx = left; nx < right; nx += 1) {
          const same = data[ny * width + nx] === old;
          if (same && !open) stack.push([nx, ny]);
          open = same;
        }
      }
    }
  }

  /** A mask as rows [y, x0, x1, x0, x1, ...], as sent by the server. */
  rows(rows) {
    for (const [y, ...ends] of rows) for (let i = 0; i + 1 < ends.length; i += 2) this.span(y, ends[i], ends[i + 1]);
  }

  /** -> the operation, or null if no pixel changed */
  finish() {
    return this.runs.length ? { to: this.to, kind: this.kind, runs: this.runs.done() } : null;
  }
}
