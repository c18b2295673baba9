// The tools by name; each has an action of its name (actions.js).

import { BoxErase, Fill, Pan, Region } from "./tools/area.js";
import { AutoSegment } from "./tools/auto.js";
import { Brush, Eraser } from "./tools/brush.js";
import { Polygon } from "./tools/polygon.js";
import { Scissors } from "./tools/scissors.js";

export const TOOLS = { auto: AutoSegment, brush: Brush, eraser: Eraser, polygon: Polygon, scissors: Scissors, fill: Fill, region: Region, box: BoxErase, pan: Pan };

/** Names of operations in messages about undo and redo. */
export const OPERATIONS = {
  auto: "an object", brush: "a brush stroke", erase: "erasing", polygon: "a polygon", scissors: "an outline along edges", fill: "filling an area", box: "erasing in a box", suggested: "a suggested object",
  "region-grow": "making a region wider", "region-shrink": "making a region narrower", "region-smooth": "smoothing a region", "region-holes": "filling holes", "region-specks": "removing specks",
};
