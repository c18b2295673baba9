// @ts-check
// Colors of labels on the screen; files have Ground Truth's (label_colors.js). The first eight are those of Okabe and Ito ("Color Universal Design", 2008;
// Wong, Nature Methods 8:441, 2011). Each further one is the color of a grid of 5,832 whose smallest CIEDE2000 distance to all before it, and to the
// stripes of unlabeled areas (#ff20e0), is largest: the smallest over normal vision and deuteranopia, protanopia and tritanopia as simulated by
// Machado, Oliveira and Fernandes (IEEE TVCG 15:1291, 2009). Checked in tests/local/labeling/test_colors.py.

const SAFE = `
  e69f00 56b4e9 009e73 f0e442 0072b2 d55e00 cc79a7 000000
  f0ffff 692d0f 000096 5a4b5a a5ffc3 2d003c 5a694b a5c3b4 2d00f0 876978 2d2d2d b4c378 b43c0f f0d2ff 004b96 3c0f00 3c4b3c 5a1e5a 6987ff 69964b
  f0ff96 a59696 695a87 96d2d2 c3b496 78784b d200c3 784b2d a56996 96a5c3 f06978 000f1e c3e1d2 2d695a c3e178 961eff 693c69 1e2d3c 4b2d1e 1e0069
  d2ffe1 1e1eb4 ffd2a5 e1e1f0 788787 d28700 ff87ff 96a54b 78692d 5a7869 ffa5b4 87c34b 962d00 a578b4 781e78 001e1e 692dc3 4b4b4b 69d2e1 b49687
  b4a5b4 69872d 3c3c4b 875a78 f0c300 5a0f00 b47869 2d0f0f 4b0f78 d2c3ff d20069 8787d2 e1ff69 877878 7896a5 a54ba5 d2b4c3 c36987 e1ffb4 5a78f0
  4b5a4b 00f096 693c2d 96b469 3c785a 78b4a5 3c1e1e 695a69 782de1 2d3c3c 1e3c2d d2d2b4 d2e1e1 4b1e96 e187e1 696969 b45a00 b48787 f02d96 4b004b
  9696c3 0f8796 ffff3c a5d25a b42d87 69693c 874b5a 785ad2 b40f1e 2d5a3c 3c002d f09687 e1fff0 d296a5 c3b4d2 87f0c3 878796 966987 c3f069 4bc387
  c3784b 00004b 0f000f 784b78 5a003c 5a875a 5a3c5a c3d287 a54b5a ffffd2 960f1e a5a596 694ba5 96ffff ff0069 0f0fd2 1e3c69 f00f3c 78004b f0f096
  6978d2 87e1f0 b469a5 b4d2c3 69a52d a596b4 69c30f a58778 96b4c3 69002d 78001e c387ff a51e78 c35a69 d2d2e1 87b4ff 5a2d3c 872d3c 3c1eff b4e15a
  87c3a5 785a2d 3c2d0f ffa5e1 781ea5 78e12d 00002d 96d296 005aff c3a5d2 ffe1d2 5a78b4 780069 9687c3 a5965a d2f0e1 962d4b 4b0f5a 4b873c 874b96
  a57887 ffb4d2 e178b4 96c3c3 e1f0f0 ff1e78 a5d2a5 87ffd2 3cd2b4 782d87 5a783c 0f0fa5 5a4b1e 5a87e1 fff02d 874b1e 5a2d5a 878700 3c005a ff963c
  d24b5a 00001e 782d00 b496d2 f01eb4 a53c4b f01eff a5f0b4 7869c3 ff8769 e1873c 4b002d 873ce1 c34ba5 9678c3 5a0f4b 96f0f0 0f9669 f096f0 5a6987
  ffe1a5 f05a2d 5af0ff 965a1e 96785a d29678 4bb478 4bc3f0 c3c3c3 962dc3 f0c3f0 4b3c2d 000f4b 2d000f 78ff87 f0ffc3 3c0f69 0f2dc3 00003c ffd2e1
  879687 783c5a 3c5a69 0fffa5 4b963c 69a596 4b5a2d
`.trim().split(/\s+/).map((color) => `#${color}`);

/** Distinct colors of the labels: the owner's choice, else the label's default; if that is chosen for another label, the first unused one.
 *  @param {string[]} labels  @param {Record<string, string>} chosen  @returns {string[]} */
export function shownColors(labels, chosen = {}) {
  const wanted = new Map(Object.entries(chosen).filter(([label]) => labels.includes(label)));
  const taken = new Set(wanted.values());
  const colors = labels.map((label, i) => wanted.get(label) ?? (taken.has(SAFE[i]) ? null : SAFE[i]));
  const free = SAFE.filter((color) => !taken.has(color) && !colors.includes(color));
  return colors.map((color) => color ?? /** @type {string} */ (free.shift()));
}
