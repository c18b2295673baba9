// @ts-check
// Ground Truth's colors in its order (measured on real output up to the third, from public code beyond), then d3's light ones, then hues far apart.

const KNOWN = [
  "#2ca02c", "#1f77b4", "#ff7f0e", "#d62728", "#9467bd", "#8c564b", "#e377c2", "#7f7f7f", "#bcbd22", "#17becf",
  "#98df8a", "#aec7e8", "#ffbb78", "#ff9896", "#c5b0d5", "#c49c94", "#f7b6d2", "#c7c7c7", "#dbdb8d", "#9edae5",
];

function further(n) {
  const hue = (n * 137.508) % 360;
  const light = 0.35 + 0.1 * (n % 4);
  const channel = (k) => {
    const at = (k + hue / 30) % 12;
    return Math.round(255 * (light - 0.7 * Math.min(light, 1 - light) * Math.max(-1, Math.min(at - 3, 9 - at, 1))));
  };
  return `#${[0, 8, 4].map((k) => channel(k).toString(16).padStart(2, "0")).join("")}`;
}

/** Distinct colors of labels; `given` are those of an earlier mask. */
export function colorsFor(labels, given = {}) {
  const taken = new Set(["#ffffff", "#000000", ...Object.values(given).map((c) => c.toLowerCase())]);
  let next = 0;
  return labels.map((label) => {
    if (given[label]) return given[label].toLowerCase();
    for (;;) {
      const color = KNOWN[next] ?? further(next);
      next += 1;
      if (!taken.has(color)) {
        taken.add(color);
        return color;
      }
    }
  });
}
