// @ts-check
// The image in stored orientation: masks are in stored pixels, so the EXIF orientation is removed from the bytes before decoding. The page
// applies it when drawing (orientation.js).

/** Set the EXIF orientation of a JPEG or PNG to 1, in place. -> the previous orientation, 1 to 8 */
export function neutralizeOrientation(bytes) {
  const at = exifStart(bytes);
  if (at < 0 || at + 8 > bytes.length) return 1;
  const little = bytes[at] === 0x49;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const directory = at + view.getUint32(at + 4, little);
  if (directory + 2 > bytes.length) return 1;
  const count = view.getUint16(directory, little);
  for (let i = 0; i < count; i += 1) {
    const entry = directory + 2 + i * 12;
    if (entry + 12 > bytes.length) return 1;
    if (view.getUint16(entry, little) !== 0x0112) continue;
    const orientation = view.getUint16(entry + 8, little);
    view.setUint16(entry + 8, 1, little);
    if (bytes[0] === 0x89) dropChecksum(bytes);
    return orientation >= 1 && orientation <= 8 ? orientation : 1;
  }
  return 1;
}

/** Offset of the TIFF header of the EXIF block, or -1. */
function exifStart(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes[0] === 0xff && bytes[1] === 0xd8) {
    for (let at = 2; at + 4 <= bytes.length && bytes[at] === 0xff; at += 2 + view.getUint16(at + 2)) {
      if (bytes[at + 1] === 0xda) return -1;
      if (bytes[at + 1] === 0xe1 && view.getUint32(at + 4) === 0x45786966) return at + 10;
    }
  }
  if (bytes[0] === 0x89 && bytes[1] === 0x50) {
    for (let at = 8; at + 12 <= bytes.length; at += 12 + view.getUint32(at)) if (view.getUint32(at + 4) === 0x65584966) return at + 8;
  }
  return -1;
}

/** Rename a PNG's eXIf chunk, whose checksum is now wrong, to an unknown ancillary chunk, which decoders skip. */
function dropChecksum(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let at = 8; at + 12 <= bytes.length; at += 12 + view.getUint32(at)) if (view.getUint32(at + 4) === 0x65584966) view.setUint32(at + 4, 0x65785866);
}

export class Photo {
  /** `levels`: the image and copies at half, quarter, ... size. `orientation`: EXIF, 1 to 8. */
  constructor(levels, orientation = 1) {
    this.levels = levels;
    this.orientation = orientation;
    this.width = levels[0].width;
    this.height = levels[0].height;
  }

  static async load(url, fetcher = fetch) {
    const answer = await fetcher(url);
    if (!answer.ok) throw new Error(`the image could not be read (${answer.status})`);
    const bytes = new Uint8Array(await answer.arrayBuffer());
    const orientation = neutralizeOrientation(bytes);
    const blob = new Blob([bytes], { type: answer.headers.get("content-type") ?? "" });
    const levels = [await createImageBitmap(blob, { colorSpaceConversion: "none" })];
    while (Math.max(levels.at(-1).width, levels.at(-1).height) > 900) {
      const { width, height } = levels.at(-1);
      /** @type {ImageBitmapOptions} */
      const smaller = { resizeWidth: Math.max(1, width >> 1), resizeHeight: Math.max(1, height >> 1), resizeQuality: "medium" };
      levels.push(await createImageBitmap(levels.at(-1), smaller));
    }
    return new Photo(levels, orientation);
  }

  /** The smallest level with at least one pixel per screen pixel. */
  level(scale) {
    let chosen = 0;
    while (chosen + 1 < this.levels.length && this.levels[chosen + 1].width >= this.width * scale) chosen += 1;
    return this.levels[chosen];
  }
}
