import "fake-indexeddb/auto";
import "./browser.js";

import assert from "node:assert/strict";
import { test } from "node:test";

const { pack } = await import("../../gtseg/local/labeling/portal/static/annotate/draft.js");
const { History } = await import("../../gtseg/local/labeling/portal/static/annotate/history.js");
const { Journal } = await import("../../gtseg/local/labeling/portal/static/annotate/journal.js");
const { LabelMap, Stroke } = await import("../../gtseg/local/labeling/portal/static/annotate/raster.js");

const SHAPE = { width: 4, height: 2, labels: "cat,dog", start: "" };

async function drawOn(key, count, draft = null) {
  const journal = new Journal(key, () => {}, draft);
  await journal.load(SHAPE);
  const map = new LabelMap(4, 2);
  const history = new History(map, journal);
  for (let x = 0; x < count; x += 1) {
    const stroke = new Stroke(map, 1 + (x % 2));
    stroke.rect(x, 0, x + 1, 2);
    history.push(stroke.finish());
  }
  while (journal.pending) await new Promise((resolve) => setTimeout(resolve, 1));
  return { journal, history, map };
}

function replay({ ops, cursor }) {
  const history = new History(new LabelMap(4, 2));
  history.restore(ops, cursor);
  return history.map.data;
}

test("a page that is loaded again finds the operations and the cursor", async () => {
  const { history, map, journal } = await drawOn("reload", 3);
  history.undo();
  while (journal.pending) await new Promise((resolve) => setTimeout(resolve, 1));
  const found = await new Journal("reload").load(SHAPE);
  assert.equal(found.cursor, 2);
  assert.equal(found.ops.length, 3);
  assert.deepEqual(replay(found), map.data);
});

test("operations dropped by drawing after undo are not found again", async () => {
  const { history, map, journal } = await drawOn("branch", 3);
  history.undo();
  history.undo();
  const stroke = new Stroke(map, 2);
  stroke.rect(0, 1, 4, 2);
  history.push(stroke.finish());
  while (journal.pending) await new Promise((resolve) => setTimeout(resolve, 1));
  const found = await new Journal("branch").load(SHAPE);
  assert.equal(found.ops.length, 2);
  assert.deepEqual(replay(found), map.data);
});

test("operations for another image size or other labels are not loaded", async () => {
  await drawOn("shape", 1);
  assert.equal(await new Journal("shape").load({ ...SHAPE, width: 5 }), null);
  assert.equal(await new Journal("shape").load({ ...SHAPE, labels: "cat" }), null);
});

test("operations are loaded only for their own key", async () => {
  await drawOn("one worker", 1);
  assert.equal(await new Journal("another worker").load(SHAPE), null);
});

test("a submitted answer deletes its operations", async () => {
  const { journal } = await drawOn("submitted", 2);
  await journal.discard();
  assert.equal(await new Journal("submitted").load(SHAPE), null);
});

test("a newer drawing of the server is shown, and this browser's drawing can be restored", async () => {
  const { map } = await drawOn("shared", 3);
  const server = new History(new LabelMap(4, 2));
  const stroke = new Stroke(server.map, 2);
  stroke.rect(0, 0, 4, 1);
  server.push(stroke.finish());
  const blob = await pack(SHAPE, { ops: server.ops, cursor: server.cursor, map: server.map });
  const bytes = new Uint8Array(await blob.arrayBuffer());
  const draft = { version: 7, lost: false, read: async () => ({ version: 7, bytes }), save: async (base) => base + 1 };
  const journal = new Journal("shared", () => {}, draft);
  const found = await journal.load(SHAPE);
  assert.deepEqual(replay(found), server.map.data);
  assert.equal(journal.aside, true);
  await journal.takeAside();
  const taken = await new Journal("shared").load(SHAPE);
  assert.deepEqual(replay(taken), map.data);
});

test("unsaved operations are sent to the server and each save is the base of the next", async () => {
  const saved = [];
  const draft = { version: 0, lost: false, read: async () => null, save: async (base) => saved.push(base) };
  const { journal } = await drawOn("saved", 2, draft);
  await journal.flush();
  assert.deepEqual(saved, [0]);
  await journal.flush();
  assert.deepEqual(saved, [0], "nothing new was drawn");
  journal.move(1);
  await journal.flush();
  assert.deepEqual(saved, [0, 1]);
  journal.stop();
});
