// @ts-check
// PNG encoder and decoder. A canvas would premultiply, manage colors and may add noise against fingerprinting, which would change label colors.

const SIGNATURE = [137, 80, 78, 71, 13, 10, 26, 10];
const TABLE = new Uint32Array(256).map((_, n) => {
  let c = n;
  for (let k = 0; k < 8; k += 1) c = c & 1 ? 0xedb88320 ^ (c >>> 1) : c >>> 1;
  return c >>> 0;
});

function crc(bytes) {
  let c = 0xffffffff;
  for (const byte of bytes) c = TABLE[(c ^ byte) & 255] ^ (c >>> 8);
  return (c ^ 0xffffffff) >>> 0;
}

function chunk(type, body) {
  const out = new Uint8Array(body.length + 12);
  const view = new DataView(out.buffer);
  view.setUint32(0, body.length);
  for (let i = 0; i < 4; i += 1) out[4 + i] = type.charCodeAt(i);
  out.set(body, 8);
  view.setUint32(body.length + 8, crc(out.subarray(4, body.length + 8)));
  return out;
}

/** "#2ca02c" -> [44, 160, 44] */
export function rgb(hex) {
  return [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16));
}

async function through(stream, feed) {
  const writer = stream.writable.getWriter();
  const fed = feed(writer).then(() => writer.close());
  const [buffer] = await Promise.all([new Response(stream.readable).arrayBuffer(), fed]);
  return new Uint8Array(buffer);
}

/** Label map + colors ["#2ca02c", ...] of label 1, 2, ... -> Blob of an 8-bit RGBA PNG of its size; unlabeled is transparent black. */
export async function encode(map, colors) {
  const { width, height, data } = map;
  const palette = new Uint32Array(256);
  const bytes = new Uint8Array(palette.buffer);
  colors.forEach((hex, i) => bytes.set([...rgb(hex), 255], 4 * (i + 1)));
  const idat = await through(new CompressionStream("deflate"), async (writer) => {
    const rows = Math.max(1, Math.floor(4e6 / (width * 4)));
    for (let top = 0; top < height; top += rows) {
      const count = Math.min(rows, height - top);
      const raw = new Uint8Array(count * (width * 4 + 1));
      const line = new Uint32Array(width);
      const lineBytes = new Uint8Array(line.buffer);
      for (let y = 0; y < count; y += 1) {
        const from = (top + y) * width;
        for (let x = 0; x < width; x += 1) line[x] = palette[data[from + x]];
        raw.set(lineBytes, y * (width * 4 + 1) + 1); // the byte before it is filter type 0
      }
      await writer.write(raw);
    }
  });
  const head = new Uint8Array(13);
  const view = new DataView(head.buffer);
  view.setUint32(0, width);
  view.setUint32(4, height);
  head.set([8, 6, 0, 0, 0], 8);
  return new Blob([new Uint8Array(SIGNATURE), chunk("IHDR", head), chunk("IDAT", idat), chunk("IEND", new Uint8Array(0))], { type: "image/png" });
}

function unfilter(raw, height, stride, step) {
  const out = new Uint8Array(height * stride);
  for (let y = 0; y < height; y += 1) {
    const kind = raw[y * (stride + 1)];
    for (let i = 0; i < stride; i += 1) {
      const here = raw[y * (stride + 1) + 1 + i];
      const a = i >= step ? out[y * stride + i - step] : 0;
      const b = y ? out[(y - 1) * stride + i] : 0;
      const c = y && i >= step ? out[(y - 1) * stride + i - step] : 0;
      let add = 0;
      if (kind === 1) add = a;
      else if (kind === 2) add = b;
      else if (kind === 3) add = (a + b) >> 1;
      else if (kind === 4) {
        const p = a + b - c;
        const [pa, pb, pc] = [Math.abs(p - a), Math.abs(p - b), Math.abs(p - c)];
        add = pa <= pb && pa <= pc ? a : pb <= pc ? b : c;
      }
      out[y * stride + i] = here + add;
    }
  }
  return out;
}

/** Bytes of a PNG (any color type, not interlaced, at most 8 bits) -> {width, height, color(i) -> 0xRRGGBB, opaque(i)}. */
export async function decode(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (SIGNATURE.some((byte, i) => bytes[i] !== byte)) throw new Error("the earlier mask is not a PNG");
  let head = null;
  let palette = new Uint8Array(0);
  let alpha = new Uint8Array(0);
  const parts = [];
  for (let at = 8; at + 8 <= bytes.length; ) {
    const length = view.getUint32(at);
    const type = String.fromCharCode(...bytes.subarray(at + 4, at + 8));
    const body = bytes.subarray(at + 8, at + 8 + length);
    if (type === "IHDR") head = { width: view.getUint32(at + 8), height: view.getUint32(at + 12), depth: body[8], kind: body[9], interlaced: body[12] };
    if (type === "PLTE") palette = body;
    if (type === "tRNS") alpha = body;
    if (type === "IDAT") parts.push(body);
    at += length + 12;
  }
  if (!head || head.interlaced || head.depth > 8) throw new Error("the earlier mask is an interlaced or 16-bit PNG");
  const raw = await through(new DecompressionStream("deflate"), async (writer) => {
    for (const part of parts) await writer.write(part);
  });
  const channels = { 0: 1, 2: 3, 3: 1, 4: 2, 6: 4 }[head.kind];
  const stride = Math.ceil((head.width * channels * head.depth) / 8);
  const pixels = unfilter(raw, head.height, stride, Math.max(1, (channels * head.depth) / 8));
  const sample = (i, c) => {
    if (head.depth === 8) return pixels[Math.floor(i / head.width) * stride + (i % head.width) * channels + c];
    const bit = (i % head.width) * head.depth;
    return (pixels[Math.floor(i / head.width) * stride + (bit >> 3)] >> (8 - head.depth - (bit & 7))) & ((1 << head.depth) - 1);
  };
  const gray = (v) => (v << 16) | (v << 8) | v;
  const triple = (list, i) => (list[i] << 16) | (list[i + 1] << 8) | list[i + 2];
  const color = {
    0: (i) => gray(sample(i, 0)),
    4: (i) => gray(sample(i, 0)),
    2: (i) => triple(pixels, Math.floor(i / head.width) * stride + (i % head.width) * 3),
    6: (i) => triple(pixels, i * 4),
    3: (i) => triple(palette, sample(i, 0) * 3),
  }[head.kind];
  const opaque = { 6: (i) => pixels[i * 4 + 3] > 0, 4: (i) => sample(i, 1) > 0, 3: (i) => (alpha[sample(i, 0)] ?? 255) > 0 }[head.kind] ?? (() => true);
  return { width: head.width, height: head.height, color, opaque };
}

/** -> base64 without the data: prefix */
export function base64(blob) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(String(reader.result).split(",")[1]);
    reader.onerror = () => reject(reader.error);
    reader.readAsDataURL(blob);
  });
}
