import "./browser.js";

import assert from "node:assert/strict";
import { test } from "node:test";

const { collapse, pack, unpack } = await import("../../gtseg/local/labeling/portal/static/annotate/draft.js");
const { History } = await import("../../gtseg/local/labeling/portal/static/annotate/history.js");
const { LabelMap, Stroke } = await import("../../gtseg/local/labeling/portal/static/annotate/raster.js");
const { numbers } = await import("./drawing.js");

const SHAPE = { width: 30, height: 20, labels: "a,b", start: "" };

function scribble(seed, count) {
  const next = numbers(seed);
  const history = new History(new LabelMap(30, 20));
  for (let i = 0; i < count; i += 1) {
    const stroke = new Stroke(history.map, Math.floor(next() * 3));
    stroke.capsule(next() * 30, next() * 20, next() * 30, next() * 20, 1 + next() * 8);
    history.push(stroke.finish());
  }
  return history;
}

test("a packed drawing is unpacked with every run and the cursor", async () => {
  const { ops, cursor, map } = scribble(1, 25);
  const blob = await pack(SHAPE, { ops, cursor, map });
  const found = await unpack(new Uint8Array(await blob.arrayBuffer()));
  assert.deepEqual(found.ops, ops);
  assert.equal(found.cursor, cursor);
  assert.deepEqual([found.width, found.height, found.labels], [30, 20, "a,b"]);
});

test("a page without a label map keeps its value", async () => {
  const blob = await pack({}, { value: { verdict: "bad", comment: "é" } });
  assert.deepEqual((await unpack(new Uint8Array(await blob.arrayBuffer()))).value, { verdict: "bad", comment: "é" });
});

test("collapsed operations draw the same map", () => {
  for (let seed = 2; seed < 12; seed += 1) {
    const history = scribble(seed, 15);
    if (seed % 2) history.undo();
    const few = collapse(history.map, history.ops, history.cursor);
    const again = new History(new LabelMap(30, 20));
    again.restore(few, few.length);
    assert.deepEqual(again.map.data, history.map.data);
    while (again.undo());
    assert.equal(again.map.counts[0], 600);
  }
});

test("bytes that are not a drawing are refused", async () => {
  await assert.rejects(unpack(new Uint8Array([1, 2, 3])));
});
