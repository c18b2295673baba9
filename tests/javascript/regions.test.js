import assert from "node:assert/strict";
import { test } from "node:test";

import { grown, holesOf, regionAt, shrunk, spansOf, specksOf, squaredDistance } from "../../gtseg/local/labeling/portal/static/annotate/regions.js";
import { draw, numbers, show } from "./drawing.js";

/** A patch inside an image of the map's size, as text. */
function paint(map, patch) {
  const text = draw(".".repeat(map.width) + `\n${".".repeat(map.width)}`.repeat(map.height - 1));
  for (const [y, x0, x1] of spansOf(map, patch, () => true)) text.data.fill(1, y * map.width + x0, y * map.width + x1);
  return show(text);
}

test("a region is connected by sides, not by corners", () => {
  const map = draw("1.1\n.11\n1..");
  assert.equal(paint(map, regionAt(map, 2, 0)), "..1\n.11\n...");
});

test("holes are the areas enclosed by a region", () => {
  const map = draw("1111.\n1..1.\n1.11.\n111..");
  assert.equal(paint(map, holesOf(regionAt(map, 0, 0, 1))), ".....\n.11..\n.1...\n.....");
});

test("the squared distance is to the nearest pixel", () => {
  const next = numbers(9);
  for (let round = 0; round < 20; round += 1) {
    const [width, height] = [3 + Math.floor(next() * 9), 3 + Math.floor(next() * 9)];
    const data = Uint8Array.from({ length: width * height }, () => (next() < 0.1 ? 1 : 0));
    data[0] = 1;
    const found = squaredDistance({ x0: 0, y0: 0, width, height, data });
    found.forEach((distance, at) => {
      const wanted = Math.min(...[...data.keys()].filter((i) => data[i]).map((i) => ((i % width) - (at % width)) ** 2 + (Math.floor(i / width) - Math.floor(at / width)) ** 2));
      assert.equal(distance, wanted);
    });
  }
});

test("growing and then shrinking a square gives the square", () => {
  const map = draw("........\n........\n...11...\n...11...\n........\n........");
  const wide = grown(regionAt(map, 3, 2, 3), 1);
  assert.equal(paint(map, wide), "........\n...11...\n..1111..\n..1111..\n...11...\n........");
  assert.equal(paint(map, shrunk(wide, 1, map)), paint(map, regionAt(map, 3, 2)));
});

test("shrinking keeps pixels at the image's edge", () => {
  const map = draw("111\n111\n111");
  assert.equal(paint(map, shrunk(regionAt(map, 1, 1, 3), 1, map)), "111\n111\n111");
});

test("specks are areas below the size limit", () => {
  const map = draw("11..1\n1...1\n..1..");
  assert.equal(paint(map, specksOf(map, 1, 3)), "....1\n....1\n..1..");
});
