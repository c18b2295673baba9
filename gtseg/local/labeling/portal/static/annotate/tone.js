// @ts-check
// Brightness, contrast and gamma of the displayed image: one curve for its three channels, as an SVG filter. Contrast is relative to the
// image's median gray, so that dark images do not become black, nor bright ones white.

/**
 * @typedef {object} Tone
 * @property {number} brightness  added, -1 to 1
 * @property {number} contrast    0.25 to 8
 * @property {number} gamma       0.25 to 4; above 1 lifts the dark parts
 */

/** @type {Tone} */
export const NEUTRAL = { brightness: 0, contrast: 1, gamma: 1 };
export const LIMITS = { brightness: [-1, 1], contrast: [0.25, 8], gamma: [0.25, 4] };

const SVG = "http://www.w3.org/2000/svg";
const SAMPLES = 128;
const clamp = (/** @type {number} */ value, /** @type {number[]} */ [low, high]) => Math.min(high, Math.max(low, value));

/** The displayed value of a gray (0 to 1). `middle` is the image's median gray. @param {Tone} tone */
export function shade(gray, tone, middle = 0.5) {
  const pivot = middle ** (1 / tone.gamma);
  return clamp((gray ** (1 / tone.gamma) - pivot) * tone.contrast + pivot + tone.brightness, [0, 1]);
}

export function isNeutral(tone) {
  return Object.entries(NEUTRAL).every(([name, value]) => tone[name] === value);
}

/** The gray below which `share` of a histogram of 256 lies, 0 to 1. */
export function quantile(histogram, share) {
  const total = histogram.reduce((sum, count) => sum + count, 0);
  let seen = 0;
  for (let gray = 0; gray < 256; gray += 1) {
    seen += histogram[gray];
    if (seen > 0 && seen >= share * total) return gray / 255;
  }
  return 1;
}

/** The tone that spreads an image's grays over the full range and moves its median near the middle. @returns {Tone} */
export function autoTone(histogram) {
  const [low, middle, high] = [0.005, 0.5, 0.995].map((share) => quantile(histogram, share));
  if (high - low < 1 / 255) return { ...NEUTRAL };
  const [, strongest] = LIMITS.contrast;
  let [least, most] = LIMITS.gamma;
  for (let i = 0; i < 40; i += 1) {
    const gamma = Math.sqrt(least * most);
    const at = (gray) => gray ** (1 / gamma);
    const seen = Math.min(strongest, 1 / (at(high) - at(low))) * (at(middle) - at(low));
    if (seen < 0.45) least = gamma;
    else most = gamma;
  }
  const gamma = Math.sqrt(least * most);
  const [darkest, pivot, brightest] = [low, middle, high].map((gray) => gray ** (1 / gamma));
  const contrast = clamp(1 / (brightest - darkest), LIMITS.contrast);
  return { gamma, contrast, brightness: clamp(contrast * (pivot - darkest) - pivot, LIMITS.brightness) };
}

/** Grays of an image as a histogram of 256, counted on a small copy. @param {ImageBitmap} image */
export function histogramOf(image) {
  const scale = Math.min(1, 256 / Math.max(image.width, image.height));
  const canvas = document.createElement("canvas");
  canvas.width = Math.max(1, Math.round(image.width * scale));
  canvas.height = Math.max(1, Math.round(image.height * scale));
  const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d", { willReadFrequently: true }));
  context.drawImage(image, 0, 0, canvas.width, canvas.height);
  const { data } = context.getImageData(0, 0, canvas.width, canvas.height);
  const histogram = new Array(256).fill(0);
  for (let i = 0; i < data.length; i += 4) histogram[Math.round(0.299 * data[i] + 0.587 * data[i + 1] + 0.114 * data[i + 2])] += 1;
  return histogram;
}

let made = 0;

/** The filter of one canvas. */
export class ToneFilter {
  /** @param {HTMLElement} stage  where the filter's definition lives  @param {HTMLCanvasElement} canvas */
  constructor(stage, canvas) {
    this.canvas = canvas;
    const id = `tone-${(made += 1)}`;
    const svg = document.createElementNS(SVG, "svg");
    svg.setAttribute("class", "sr");
    svg.setAttribute("aria-hidden", "true");
    const filter = svg.appendChild(document.createElementNS(SVG, "filter"));
    filter.id = id;
    filter.setAttribute("color-interpolation-filters", "sRGB");
    const transfer = filter.appendChild(document.createElementNS(SVG, "feComponentTransfer"));
    this.curves = ["R", "G", "B"].map((channel) => transfer.appendChild(document.createElementNS(SVG, `feFunc${channel}`)));
    for (const curve of this.curves) curve.setAttribute("type", "table");
    stage.append(svg);
    this.address = `url("#${id}")`;
  }

  /** @param {Tone} tone */
  show(tone, middle) {
    const values = Array.from({ length: SAMPLES + 1 }, (_, i) => shade(i / SAMPLES, tone, middle).toFixed(4)).join(" ");
    for (const curve of this.curves) curve.setAttribute("tableValues", values);
    this.canvas.style.filter = isNeutral(tone) ? "" : this.address;
  }
}
