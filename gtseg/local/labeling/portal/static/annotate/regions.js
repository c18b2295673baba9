// @ts-check
// Operations on regions: pure functions from the label map to a mask of the changed pixels. A region is a connected area
// (4 neighbors) of one label; no operation changes pixels of other labels.

/** @typedef {{x0: number, y0: number, width: number, height: number, data: Uint8Array}} Patch  0/1 for a rectangle of the image, which it may leave */

/** The connected area of (x, y), `pad` pixels wider on each side. -> Patch */
export function regionAt(map, x, y, pad = 0) {
  const { width, height, data } = map;
  const value = data[y * width + x];
  const spans = [];
  const seen = new Uint8Array(width * height);
  const stack = [[x, y]];
  let [x0, y0, x1, y1] = [x, y, x, y];
  while (stack.length) {
    const [sx, sy] = /** @type {number[]} */ (stack.pop());
    const base = sy * width;
    if (seen[base + sx]) continue;
    let left = sx;
    while (left > 0 && data[base + left - 1] === value) left -= 1;
    let right = sx;
    while (right + 1 < width && data[base + right + 1] === value) right += 1;
    seen.fill(1, base + left, base + right + 1);
    spans.push([sy, left, right + 1]);
    [x0, x1, y0, y1] = [Math.min(x0, left), Math.max(x1, right), Math.min(y0, sy), Math.max(y1, sy)];
    for (const ny of [sy - 1, sy + 1]) {
      if (ny < 0 || ny >= height) continue;
      for (let nx = left; nx <= right; nx += 1) {
        const at = ny * width + nx;
        if (data[at] === value && !seen[at] && (nx === left || data[at - 1] !== value)) stack.push([nx, ny]);
      }
    }
  }
  const patch = { x0: x0 - pad, y0: y0 - pad, width: x1 - x0 + 1 + 2 * pad, height: y1 - y0 + 1 + 2 * pad, data: new Uint8Array((x1 - x0 + 1 + 2 * pad) * (y1 - y0 + 1 + 2 * pad)) };
  for (const [sy, left, right] of spans) patch.data.fill(1, (sy - patch.y0) * patch.width + left - patch.x0, (sy - patch.y0) * patch.width + right - patch.x0);
  return patch;
}

/** Pixels of a region's holes: those not connected (4 neighbors) to the outside. @param {Patch} region  padded by at least 1  -> Patch */
export function holesOf(region) {
  const { width, height, data } = region;
  const outside = flood(data, width, height, [0]);
  return { ...region, data: data.map((v, i) => (v || outside[i] ? 0 : 1)) };
}

/** Mask of the 0s connected to the given offsets. */
function flood(data, width, height, starts) {
  const seen = new Uint8Array(data.length);
  const stack = new Int32Array(data.length + starts.length);
  let top = 0;
  for (const at of starts) if (!data[at] && !seen[at]) { seen[at] = 1; stack[top++] = at; }
  while (top) {
    const at = stack[--top];
    const x = at % width;
    if (x > 0 && !data[at - 1] && !seen[at - 1]) { seen[at - 1] = 1; stack[top++] = at - 1; }
    if (x + 1 < width && !data[at + 1] && !seen[at + 1]) { seen[at + 1] = 1; stack[top++] = at + 1; }
    if (at >= width && !data[at - width] && !seen[at - width]) { seen[at - width] = 1; stack[top++] = at - width; }
    if (at + width < data.length && !data[at + width] && !seen[at + width]) { seen[at + width] = 1; stack[top++] = at + width; }
  }
  return seen;
}

/** Squared Euclidean distance of every pixel to the nearest 1 (Felzenszwalb and Huttenlocher, 2012). @param {Patch} patch  -> Float64Array */
export function squaredDistance({ width, height, data }) {
  const far = 1e12;
  const grid = Float64Array.from(data, (v) => (v ? 0 : far));
  const longest = Math.max(width, height);
  const [line, out, at, edge] = [new Float64Array(longest), new Float64Array(longest), new Int32Array(longest), new Float64Array(longest + 1)];
  const transform = (n) => {
    let k = 0;
    at[0] = 0;
    edge[0] = -Infinity;
    edge[1] = Infinity;
    for (let q = 1; q < n; q += 1) {
      let s;
      do s = (line[q] + q * q - line[at[k]] - at[k] * at[k]) / (2 * (q - at[k]));
      while (s <= edge[k] && --k > -1);
      k += 1;
      at[k] = q;
      edge[k] = s;
      edge[k + 1] = Infinity;
    }
    k = 0;
    for (let q = 0; q < n; q += 1) {
      while (edge[k + 1] < q) k += 1;
      out[q] = (q - at[k]) ** 2 + line[at[k]];
    }
  };
  for (let x = 0; x < width; x += 1) {
    for (let y = 0; y < height; y += 1) line[y] = grid[y * width + x];
    transform(height);
    for (let y = 0; y < height; y += 1) grid[y * width + x] = out[y];
  }
  for (let y = 0; y < height; y += 1) {
    line.set(grid.subarray(y * width, (y + 1) * width));
    transform(width);
    grid.set(out.subarray(0, width), y * width);
  }
  return grid;
}

/** A region wider by `r` pixels on all sides. @param {Patch} region  padded by more than r  -> Patch */
export function grown(region, r) {
  const distance = squaredDistance(region);
  return { ...region, data: region.data.map((_, i) => (distance[i] <= r * r ? 1 : 0)) };
}

/** A region narrower by `r` pixels, except at the image's edge. @param {Patch} region  padded by more than r  -> Patch */
export function shrunk(region, r, map) {
  const { x0, y0, width } = region;
  const outside = { ...region, data: region.data.map((v, i) => {
    const [x, y] = [x0 + (i % width), y0 + Math.floor(i / width)];
    return v || x < 0 || y < 0 || x >= map.width || y >= map.height ? 0 : 1;
  }) };
  const distance = squaredDistance(outside);
  return { ...region, data: region.data.map((v, i) => (v && distance[i] > r * r ? 1 : 0)) };
}

/** A region without bumps and dents thinner than about `r` pixels: each pixel gets the majority of the square around it. -> Patch */
export function smoothed(region, r, map) {
  const { x0, y0, width, height, data } = region;
  const clampX = (x) => Math.min(Math.max(x, Math.max(0, -x0)), Math.min(width, map.width - x0) - 1);
  const clampY = (y) => Math.min(Math.max(y, Math.max(0, -y0)), Math.min(height, map.height - y0) - 1);
  const sums = new Float64Array(width * height);
  for (let pass = 0; pass < 2; pass += 1) { // pixels beyond the image repeat the edge
    const source = pass ? sums.slice() : data;
    const [n, m] = pass ? [width, height] : [height, width];
    for (let i = 0; i < n; i += 1) {
      const value = (j) => (pass ? source[clampY(j) * width + i] : source[i * width + clampX(j)]);
      let sum = 0;
      for (let j = -r; j <= r; j += 1) sum += value(j);
      for (let j = 0; j < m; j += 1) {
        sums[pass ? j * width + i : i * width + j] = sum;
        sum += value(j + r + 1) - value(j - r);
      }
    }
  }
  const most = (2 * r + 1) ** 2 / 2;
  return { ...region, data: region.data.map((_, i) => (sums[i] > most ? 1 : 0)) };
}

/** Connected areas of `value` with fewer than `least` pixels, in the whole image. -> Patch of all of them */
export function specksOf(map, value, least) {
  const { width, height, data } = map;
  const found = new Uint8Array(width * height);
  const seen = new Uint8Array(width * height);
  const stack = [];
  for (let start = 0; start < data.length; start += 1) {
    if (data[start] !== value || seen[start]) continue;
    const part = [];
    seen[start] = 1;
    stack.push(start);
    let size = 0;
    while (stack.length) {
      const at = /** @type {number} */ (stack.pop());
      size += 1;
      if (size < least) part.push(at);
      const x = at % width;
      for (const next of [x > 0 ? at - 1 : -1, x + 1 < width ? at + 1 : -1, at - width, at + width]) {
        if (next < 0 || next >= data.length || seen[next] || data[next] !== value) continue;
        seen[next] = 1;
        stack.push(next);
      }
    }
    if (size < least) for (const at of part) found[at] = 1;
  }
  return { x0: 0, y0: 0, width, height, data: found };
}

/** [y, x0, x1] of a patch's 1s, where `wanted(old label)`, inside the image. */
export function* spansOf(map, patch, wanted) {
  const { x0, y0, width, height, data } = patch;
  for (let y = Math.max(0, -y0); y < height && y + y0 < map.height; y += 1) {
    const base = (y + y0) * map.width + x0;
    let from = -1;
    const end = Math.min(width, map.width - x0);
    for (let x = Math.max(0, -x0); x <= end; x += 1) {
      const inside = x < end && data[y * width + x] === 1 && wanted(map.data[base + x]);
      if (inside && from < 0) from = x;
      if (!inside && from >= 0) {
        yield [y + y0, from + x0, x + x0];
        from = -1;
      }
    }
  }
}
