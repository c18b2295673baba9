import assert from "node:assert/strict";
import { test } from "node:test";

import { Area, LabelMap, Stroke } from "../../gtseg/local/labeling/portal/static/annotate/raster.js";
import { draw, numbers, show } from "./drawing.js";

/** Whether the center of pixel (x, y) lies inside the outline, by the even-odd rule. */
function holds(points, x, y) {
  const [cx, cy] = [x + 0.5, y + 0.5];
  let inside = false;
  points.forEach(([px, py], i) => {
    const [qx, qy] = points[(i + 1) % points.length];
    if (py <= cy !== qy <= cy && cx < px + ((cy - py) / (qy - py)) * (qx - px)) inside = !inside;
  });
  return inside;
}

test("a polygon holds the pixels whose center is inside its outline", () => {
  const next = numbers(7);
  for (let round = 0; round < 60; round += 1) {
    const points = Array.from({ length: 3 + Math.floor(next() * 6) }, () => [next() * 30 - 5, next() * 24 - 4]);
    const map = new LabelMap(20, 16);
    const stroke = new Stroke(map, 1);
    stroke.polygon(points);
    for (let y = 0; y < 16; y += 1) for (let x = 0; x < 20; x += 1) assert.equal(map.at(x, y), holds(points, x, y) ? 1 : 0, `${x}, ${y} of ${JSON.stringify(points)}`);
  }
});

test("a brush holds the pixels whose center is nearer than its radius to the line drawn", () => {
  const next = numbers(11);
  for (let round = 0; round < 60; round += 1) {
    const [ax, ay, bx, by] = Array.from({ length: 4 }, () => next() * 24 - 2);
    const diameter = 2 + next() * 8;
    const map = new LabelMap(20, 20);
    new Stroke(map, 3).capsule(ax, ay, bx, by, diameter);
    const [dx, dy] = [bx - ax, by - ay];
    for (let y = 0; y < 20; y += 1) {
      for (let x = 0; x < 20; x += 1) {
        const along = Math.min(1, Math.max(0, ((x + 0.5 - ax) * dx + (y + 0.5 - ay) * dy) / (dx * dx + dy * dy)));
        const distance = Math.hypot(x + 0.5 - ax - along * dx, y + 0.5 - ay - along * dy);
        if (Math.abs(distance - diameter / 2) > 1e-6) assert.equal(map.at(x, y), distance < diameter / 2 ? 3 : 0);
      }
    }
  }
});

test("a line of one pixel has no gap", () => {
  const map = new LabelMap(9, 5);
  new Stroke(map, 1).line(0.5, 0.5, 8.5, 4.5);
  assert.equal(show(map), "1........\n.11......\n...11....\n.....11..\n.......11");
});

test("flood takes the connected area of one label, not its diagonal neighbors", () => {
  const map = draw("..1..\n.1...\n11.11\n...1.");
  new Stroke(map, 2).flood(0, 0);
  assert.equal(show(map), "221..\n21...\n11.11\n...1.");
});

test("a locked label is neither drawn over nor drawn", () => {
  const map = draw("12..\n12..");
  map.locked[2] = 1;
  new Stroke(map, 3).rect(0, 0, 4, 2);
  assert.equal(show(map), "3233\n3233");
  const refused = new Stroke(map, 2);
  refused.rect(0, 0, 4, 2);
  assert.equal(refused.finish(), null);
});

test("`over` limits a stroke to some labels", () => {
  const map = draw("12..");
  new Stroke(map, 3, { over: (old) => old === 0 }).rect(0, 0, 4, 1);
  assert.equal(show(map), "1233");
});

test("a stroke beyond the image changes only pixels of the image", () => {
  const map = new LabelMap(3, 2);
  const stroke = new Stroke(map, 1);
  stroke.rect(-5, -5, 2, 9);
  assert.equal(show(map), "11.\n11.");
  assert.deepEqual({ ...stroke.area }, { x0: 0, y0: 0, x1: 2, y1: 2 });
});

test("label counts equal the pixels after any strokes", () => {
  const next = numbers(3);
  const map = new LabelMap(17, 13);
  for (let round = 0; round < 80; round += 1) {
    const stroke = new Stroke(map, Math.floor(next() * 4));
    if (next() < 0.5) stroke.capsule(next() * 17, next() * 13, next() * 17, next() * 13, next() * 6);
    else stroke.flood(Math.floor(next() * 17), Math.floor(next() * 13));
    const counted = map.counts.slice();
    map.recount();
    assert.deepEqual(counted, map.counts);
  }
});

test("replaying an operation backward restores every pixel and count", () => {
  const map = draw("112.\n.221\n3..1");
  const [pixels, counts] = [map.data.slice(), map.counts.slice()];
  const stroke = new Stroke(map, 4);
  stroke.rect(0, 0, 3, 3);
  stroke.rect(2, 1, 4, 3);
  const operation = stroke.finish();
  const drawn = map.data.slice();
  map.replay(operation, { undo: true });
  assert.deepEqual([map.data, map.counts], [pixels, counts]);
  map.replay(operation);
  assert.deepEqual(map.data, drawn);
});

test("a new area is empty and joining another gives that area", () => {
  const area = new Area();
  assert.equal(area.empty, true);
  area.join(new Area(1, 2, 3, 4));
  assert.deepEqual({ ...area, empty: area.empty }, { x0: 1, y0: 2, x1: 3, y1: 4, empty: false });
});
