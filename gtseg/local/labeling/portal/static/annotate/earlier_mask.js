// @ts-check
// Reads the mask of an earlier job into a label map.

import { decode, rgb } from "./png.js";

/** Read the PNG at `address`: pixels of colors[i] become label i + 1, others background. Throws if its size is not the map's. */
export async function readEarlierMask(map, address, colors, fetcher) {
  const answer = await fetcher(address);
  if (!answer.ok) throw new Error(`the earlier mask could not be read (${answer.status})`);
  const mask = await decode(new Uint8Array(await answer.arrayBuffer()));
  if (mask.width !== map.width || mask.height !== map.height) {
    throw new Error(`the earlier mask is ${mask.width} x ${mask.height}, the image ${map.width} x ${map.height}`);
  }
  const values = new Map(colors.map((hex, i) => [rgb(hex).reduce((a, b) => a * 256 + b), i + 1]));
  for (let i = 0; i < map.data.length; i += 1) map.data[i] = mask.opaque(i) ? (values.get(mask.color(i)) ?? 0) : 0;
  map.recount();
}
