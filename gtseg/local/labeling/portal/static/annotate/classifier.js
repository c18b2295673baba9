// <crowd-image-classifier> as label verification uses it: the image, an earlier mask laid over it (`overlay`), one of the categories to choose, and a
// comment. Attributes name, src, categories, header, overlay; children <full-instructions>, <short-instructions>, <worker-comment>.

import { h, openDialog } from "./dom.js";
import { parseLoose } from "./loose.js";
import { Photo } from "./photo.js";
import { decode, rgb } from "./png.js";

export class CrowdImageClassifier extends HTMLElement {
  get name() {
    return this.getAttribute("name") || "crowd-image-classifier";
  }

  /** services: {fetcher}. Resolves when image and mask are shown. */
  async begin(services) {
    this.services = services;
    this.categories = parseLoose(this.getAttribute("categories") ?? "");
    if (!Array.isArray(this.categories) || !this.categories.length) throw new Error("the template gives no categories");
    this.earlier = this.getAttribute("overlay") ? parseLoose(this.getAttribute("overlay")).semanticSegmentation : null;
    this.chosen = null;
    this.build();
    document.addEventListener("keydown", (event) => this.key(event), { signal: (this.quit = new AbortController()).signal });
    const photo = await Photo.load(this.getAttribute("src"), services.fetcher);
    for (const canvas of [this.picture, this.mask]) Object.assign(canvas, { width: photo.width, height: photo.height });
    this.picture.getContext("2d").drawImage(photo.levels[0], 0, 0);
    if (this.earlier) await this.drawMask();
    this.dataset.ready = "true";
  }
  disconnectedCallback() {
    this.quit?.abort();
  }

  build() {
    const full = this.querySelector("full-instructions");
    const short = this.querySelector("short-instructions");
    const comment = this.querySelector("worker-comment");
    this.instructionsTitle = full?.getAttribute("header") || "Instructions";
    this.instructions = full?.textContent.trim() ? h("div", { class: "prose" }, ...full.childNodes) : null;
    this.picture = h("canvas", { role: "img", "aria-label": "The image" });
    this.mask = h("canvas", { role: "img", "aria-label": "The mask that is to be judged" });
    this.buttons = this.categories.map((category, i) =>
      h("button", { type: "button", class: "label", role: "radio", "aria-checked": "false", "aria-pressed": "false", "aria-keyshortcuts": String(i + 1), onclick: () => this.choose(category) },
        h("span", { class: "name" }, String(category)), h("kbd", {}, String(i + 1))));
    this.comment = h("textarea", { id: "worker-comment", rows: "4", maxlength: "1000", placeholder: comment?.getAttribute("placeholder") ?? "" });
    const strength = h("input", { type: "range", min: "0", max: "1", step: "0.05", value: "0.6", "aria-label": "Opacity of the mask", oninput: () => (this.mask.style.opacity = strength.value) });
    this.strength = strength;
    this.mask.style.opacity = strength.value;
    const legend = Object.entries(this.earlier?.labelMappings ?? {}).map(([label, { color }]) => h("li", {}, h("i", { class: "swatch", style: { background: color } }), label));
    const side = h("aside", { class: "side", "aria-label": "Your verdict" },
      short?.textContent.trim() ? h("section", {}, h("div", { class: "prose" }, ...short.childNodes)) : null,
      h("section", { role: "radiogroup", "aria-label": "Verdict" }, h("h2", {}, "Verdict"), ...this.buttons),
      h("section", {}, h("h2", {}, h("label", { for: "worker-comment" }, comment?.getAttribute("header") || "Comment")), comment ? h("div", { class: "prose" }, ...comment.childNodes) : null, this.comment),
      h("section", {}, h("h2", {}, "Mask (V hides it)"), strength, h("ul", { class: "legend" }, ...legend)));
    this.replaceChildren(h("div", { class: "judged" }, this.picture, this.mask), side);
  }

  /** The earlier mask in its own colours; what no label has stays transparent. */
  async drawMask() {
    const answer = await this.services.fetcher(this.earlier.src);
    if (!answer.ok) throw new Error(`the earlier mask could not be read (${answer.status})`);
    const mask = await decode(new Uint8Array(await answer.arrayBuffer()));
    const { width, height } = this.mask;
    if (mask.width !== width || mask.height !== height) throw new Error(`the earlier mask is ${mask.width} x ${mask.height}, the image ${width} x ${height}`);
    const colours = new Map(Object.values(this.earlier.labelMappings).map(({ color }) => [rgb(color).reduce((a, b) => a * 256 + b), rgb(color)]));
    const shown = new ImageData(width, height);
    for (let i = 0; i < width * height; i += 1) {
      const colour = mask.opaque(i) ? colours.get(mask.colour(i)) : null;
      if (colour) shown.data.set([...colour, 255], i * 4);
    }
    this.mask.getContext("2d").putImageData(shown, 0, 0);
  }

  choose(category) {
    this.chosen = category;
    this.buttons.forEach((button, i) => {
      const is = String(this.categories[i] === category);
      button.setAttribute("aria-checked", is);
      button.setAttribute("aria-pressed", is);
    });
  }

  key(event) {
    if (event.target === this.comment && !(event.ctrlKey && event.key === "Enter")) return;
    if (document.querySelector("dialog[open]") || this.closest("[inert]")) return;
    const number = Number(event.key);
    if (event.ctrlKey && event.key === "Enter") this.dispatchEvent(new CustomEvent("submit-wanted", { bubbles: true }));
    else if (event.ctrlKey || event.metaKey || event.altKey) return;
    else if (number >= 1 && number <= this.categories.length) this.choose(this.categories[number - 1]);
    else if (event.key.toLowerCase() === "v") this.mask.hidden = !this.mask.hidden;
    else if (event.key === "?") this.showSheet();
    else return;
    event.preventDefault();
  }

  showInstructions() {
    if (this.instructions) openDialog(this.instructionsTitle, this.instructions.cloneNode(true));
  }
  showSheet() {
    const keys = [["1 – 9", "Choose the verdict"], ["V", "Hide or show the mask"], ["Ctrl Enter", "Submit"]];
    openDialog("Keys", h("div", { class: "keys" }, h("dl", {}, ...keys.flatMap(([key, what]) => [h("dt", {}, h("kbd", {}, key)), h("dd", {}, what)]))));
  }

  /** What is missing before it can be submitted, in words; "" for nothing. */
  lacks() {
    return this.chosen === null ? `Choose ${this.categories.join(" or ")} first.` : "";
  }
  async answer() {
    const comment = this.comment.value.trim();
    return comment ? { label: this.chosen, workerComment: comment } : { label: this.chosen };
  }
}

customElements.define("crowd-image-classifier", CrowdImageClassifier);
