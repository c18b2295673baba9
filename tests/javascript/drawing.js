// Label maps as text, one character per pixel, and reproducible random numbers.

import { LabelMap } from "../../gtseg/local/labeling/portal/static/annotate/raster.js";

/** Rows of digits, "." for 0 -> LabelMap */
export function draw(text) {
  const rows = text.split("\n");
  const map = new LabelMap(rows[0].length, rows.length);
  map.data.set([...rows.join("")].map((mark) => (mark === "." ? 0 : Number(mark))));
  map.recount();
  return map;
}

export function show({ width, height, data }) {
  return Array.from({ length: height }, (_, y) => [...data.subarray(y * width, (y + 1) * width)].map((v) => v || ".").join("")).join("\n");
}

/** A generator of random numbers in 0 to 1 that depend on the seed only (mulberry32). */
export function numbers(seed) {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
