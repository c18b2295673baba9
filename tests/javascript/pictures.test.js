import assert from "node:assert/strict";
import { test } from "node:test";

import { Activity } from "../../gtseg/local/labeling/portal/static/annotate/activity.js";
import { parseLooseJson } from "../../gtseg/local/labeling/portal/static/annotate/loose_json.js";
import { neutralizeOrientation } from "../../gtseg/local/labeling/portal/static/annotate/photo.js";
import { Orientation } from "../../gtseg/local/labeling/portal/static/annotate/orientation.js";

test("each EXIF orientation maps every stored pixel to one upright pixel and back", () => {
  for (let number = 1; number <= 8; number += 1) {
    const orientation = new Orientation(number, 5, 3);
    const seen = new Set();
    for (let y = 0; y < 3; y += 1) {
      for (let x = 0; x < 5; x += 1) {
        const [u, v] = orientation.toUpright(x + 0.5, y + 0.5);
        assert.ok(u > 0 && v > 0 && u < orientation.width && v < orientation.height);
        assert.deepEqual(orientation.toStored(u, v), [x + 0.5, y + 0.5]);
        seen.add(`${u} ${v}`);
      }
    }
    assert.equal(seen.size, 15);
  }
});

test("orientation 6 rotates an image by 90 degrees clockwise", () => {
  const orientation = new Orientation(6, 5, 3);
  assert.deepEqual([orientation.width, orientation.height], [3, 5]);
  assert.deepEqual(orientation.toUpright(0.5, 0.5), [2.5, 0.5]);
});

test("the orientation is read from a JPEG and set to 1 in its bytes", () => {
  const exif = [0x4d, 0x4d, 0, 42, 0, 0, 0, 8, 0, 1, 0x01, 0x12, 0, 3, 0, 0, 0, 1, 0, 6, 0, 0, 0, 0, 0, 0];
  const body = [0x45, 0x78, 0x69, 0x66, 0, 0, ...exif];
  const bytes = Uint8Array.from([0xff, 0xd8, 0xff, 0xe1, 0, body.length + 2, ...body, 0xff, 0xda, 0, 2]);
  assert.equal(neutralizeOrientation(bytes), 6);
  assert.equal(neutralizeOrientation(bytes), 1);
});

test("bytes that end early have no orientation", () => {
  for (const bytes of [[0xff, 0xd8], [0xff, 0xd8, 0xff, 0xe1, 0, 8], [0x89, 0x50]]) assert.equal(neutralizeOrientation(Uint8Array.from([...bytes, ...Array(12).fill(0)])), 1);
});

test("initial-value is read as Ground Truth's templates write it", () => {
  assert.deepEqual(parseLooseJson("{'src': 'a b.png', labelMappings: [{'label': \"it's\", color: '#2ca02c',}, ], n: -1.5, ok: true, none: null}"), {
    src: "a b.png",
    labelMappings: [{ label: "it's", color: "#2ca02c" }],
    n: -1.5,
    ok: true,
    none: null,
  });
});

test("an invalid initial-value is refused with its position", () => {
  assert.throws(() => parseLooseJson("{a: ^}"), /character 3/);
  assert.throws(() => parseLooseJson("{a b}"), /not a JSON object/);
  assert.throws(() => parseLooseJson("["), /not a JSON value/);
});

test("active time counts a minute after the last input, and none while the tab is hidden", () => {
  let [clock, shown] = [0, true];
  const activity = new Activity({ now: () => clock, visible: () => shown });
  clock = 20_000;
  activity.touch();
  clock = 200_000; // three minutes without input: one of them counts
  assert.equal(activity.take(), 80);
  activity.touch();
  clock = 210_000;
  activity.advance();
  shown = false;
  activity.advance();
  clock = 250_000;
  assert.equal(activity.take(), 10);
  activity.giveBack(10);
  assert.equal(activity.take(), 10);
});
