// @ts-check
// Masks as rows [y, x0, x1, x0, x1, ...], as sent by the server; x1 is exclusive.

/** Rows without the pixels of `others`. @param {number[][]} rows  @param {number[][]} others  @returns {number[][]} */
export function subtractRows(rows, others) {
  const taken = new Map(others.map(([y, ...ends]) => /** @type {[number, number[]]} */ ([y, ends])));
  return rows.map(([y, ...ends]) => [y, ...subtract(ends, taken.get(y) ?? [])]).filter((row) => row.length > 1);
}

/** Spans [x0, x1, x0, x1, ...] without those of `others`, both sorted. @param {number[]} ends  @param {number[]} others */
function subtract(ends, others) {
  /** @type {number[]} */
  const left = [];
  for (let i = 0; i + 1 < ends.length; i += 2) {
    let from = ends[i];
    for (let j = 0; j + 1 < others.length; j += 2) {
      if (others[j + 1] <= from || others[j] >= ends[i + 1]) continue;
      if (others[j] > from) left.push(from, others[j]);
      from = Math.max(from, others[j + 1]);
    }
    if (from < ends[i + 1]) left.push(from, ends[i + 1]);
  }
  return left;
}

/** Distance from a point to the nearest pixel of a mask, 0 within it. @param {number[][]} rows  @param {number[]} place */
export function distanceTo(rows, [px, py]) {
  let best = Infinity;
  for (const [y, ...ends] of rows) {
    const dy = Math.max(y - py, py - y - 1, 0);
    for (let i = 0; dy < best && i + 1 < ends.length; i += 2) best = Math.min(best, Math.hypot(dy, Math.max(ends[i] - px, px - ends[i + 1], 0)));
  }
  return best;
}
