import assert from "node:assert/strict";
import { test } from "node:test";

const { distanceTo, subtractRows } = await import("../../gtseg/local/labeling/portal/static/annotate/rows.js");
const { numbers } = await import("./drawing.js");

const SIZE = 24;

/** Random rows of a mask of SIZE x SIZE. */
function draw(next) {
  const rows = [];
  for (let y = 0; y < SIZE; y += 1) {
    const ends = [];
    for (let x = 0; x < SIZE; ) {
      const start = x + Math.floor(next() * 6);
      const end = start + 1 + Math.floor(next() * 6);
      if (end <= SIZE) ends.push(start, end);
      x = end + 1;
    }
    if (ends.length && next() > 0.2) rows.push([y, ...ends]);
  }
  return rows;
}

const pixels = (rows) => new Set(rows.flatMap(([y, ...ends]) => ends.flatMap((from, i) => (i % 2 ? [] : Array.from({ length: ends[i + 1] - from }, (_, n) => y * SIZE + from + n)))));

test("subtracting rows keeps the pixels that the others do not have", () => {
  for (let seed = 1; seed <= 200; seed += 1) {
    const next = numbers(seed);
    const [rows, others] = [draw(next), draw(next)];
    const taken = pixels(others);
    assert.deepEqual(pixels(subtractRows(rows, others)), new Set([...pixels(rows)].filter((pixel) => !taken.has(pixel))));
  }
  assert.deepEqual(subtractRows([[3, 1, 9]], []), [[3, 1, 9]]);
  assert.deepEqual(subtractRows([[3, 1, 9]], [[3, 0, 12]]), []);
});

test("the distance to a mask is the distance to its nearest pixel", () => {
  const rows = [[2, 1, 4, 8, 9], [3, 1, 9]];
  assert.equal(distanceTo(rows, [2.5, 2.5]), 0);
  assert.equal(distanceTo(rows, [5.5, 2.5]), 0.5);
  assert.equal(distanceTo(rows, [12, 8]), 5);
  assert.equal(distanceTo([], [1, 1]), Infinity);
});
