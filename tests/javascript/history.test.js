import assert from "node:assert/strict";
import { test } from "node:test";

import { History } from "../../gtseg/local/labeling/portal/static/annotate/history.js";
import { LabelMap, Stroke } from "../../gtseg/local/labeling/portal/static/annotate/raster.js";
import { numbers, show } from "./drawing.js";

function stroke(map, to, x0, x1, kind = "draw") {
  const drawn = new Stroke(map, to, { kind });
  drawn.rect(x0, 0, x1, map.height);
  return drawn.finish();
}

test("undo and redo restore the drawings in order", () => {
  const map = new LabelMap(4, 1);
  const history = new History(map);
  const seen = [show(map)];
  for (const [to, x0, x1] of [[1, 0, 2], [2, 1, 4], [3, 0, 1]]) {
    history.push(stroke(map, to, x0, x1));
    seen.push(show(map));
  }
  for (const earlier of seen.slice(0, -1).reverse()) {
    history.undo();
    assert.equal(show(map), earlier);
  }
  assert.equal(history.undo(), null);
  for (const later of seen.slice(1)) {
    history.redo();
    assert.equal(show(map), later);
  }
  assert.equal(history.redo(), null);
});

test("an operation after undo clears the redo stack", () => {
  const map = new LabelMap(3, 1);
  const history = new History(map);
  history.push(stroke(map, 1, 0, 1));
  history.undo();
  history.push(stroke(map, 2, 1, 3));
  assert.equal(history.redo(), null);
  assert.equal(show(map), ".22");
});

test("an operation that continues the one before is undone with it", () => {
  const map = new LabelMap(3, 1);
  const history = new History(map);
  history.push(stroke(map, 1, 0, 1));
  history.push(stroke(map, 2, 1, 3, "+erase"));
  const area = history.undo();
  assert.equal(show(map), "...");
  assert.deepEqual([area.x0, area.x1], [0, 3]);
  history.redo();
  assert.equal(show(map), "122");
});

test("the journal records every operation and every move of the cursor", () => {
  const map = new LabelMap(3, 1);
  const calls = [];
  const history = new History(map, { record: (seq) => calls.push(["record", seq]), move: (cursor) => calls.push(["move", cursor]) });
  history.push(stroke(map, 1, 0, 1));
  history.push(null);
  history.push(stroke(map, 1, 1, 2));
  history.undo();
  history.redo();
  assert.deepEqual(calls, [["record", 0], ["record", 1], ["move", 1], ["move", 2]]);
});

test("restored operations draw the same map and can be undone", () => {
  const next = numbers(5);
  const map = new LabelMap(12, 1);
  const history = new History(map);
  for (let i = 0; i < 20; i += 1) {
    const x0 = Math.floor(next() * 11);
    history.push(stroke(map, Math.floor(next() * 4), x0, x0 + 1 + Math.floor(next() * 5)));
  }
  history.undo();
  const again = new History(new LabelMap(12, 1));
  again.restore(history.ops, history.cursor);
  assert.equal(show(again.map), show(map));
  while (again.undo());
  assert.equal(show(again.map), "............");
});
