// <crowd-image-classifier> for label verification: the image, an earlier mask over it (`overlay`), a choice of one category, and a
// comment. Attributes: name, src, categories, header, overlay. Children: <full-instructions>, <short-instructions>, <worker-comment>. The attribute
// `required-for` of <worker-comment> (gtseg's own) lists the categories that require a comment, separated by commas.

import { verdictActions } from "./actions.js";
import { h, openDialog } from "./dom.js";
import { readEarlierMask } from "./earlier_mask.js";
import { Actions } from "./keys.js";
import { parseLooseJson } from "./loose_json.js";
import { percent } from "./labels.js";
import { placeWords, railButton, takeInstructions } from "./panel.js";
import { Photo } from "./photo.js";
import { PictureElement } from "./picture_element.js";
import { Pointer } from "./pointer.js";
import { LabelMap } from "./raster.js";
import { lookSettings, showLook, toggle } from "./settings.js";
import { shownColors } from "./shown_colors.js";
import { View } from "./view.js";

const STEPS = { visible: "Hide mask", zoomOut: "Zoom out", zoomIn: "Zoom in", fit: "Whole image" };
const ARROWS = { ArrowLeft: [60, 0], ArrowRight: [-60, 0], ArrowUp: [0, 60], ArrowDown: [0, -60] };

export class CrowdImageClassifier extends PictureElement {
  // Required by Pointer; here it only moves and zooms.
  tool = "pan";
  active = { click: false, cancel: () => false };

  get name() {
    return this.getAttribute("name") || "crowd-image-classifier";
  }

  /** services: {fetcher, journal}. Resolves when image and mask are shown. */
  async begin(services) {
    this.services = services;
    this.ready = false;
    this.categories = parseLooseJson(this.getAttribute("categories") ?? "");
    if (!Array.isArray(this.categories) || !this.categories.length) throw new Error("the template gives no categories");
    this.categories = this.categories.map(String);
    this.earlier = this.getAttribute("overlay") ? parseLooseJson(this.getAttribute("overlay")).semanticSegmentation : null;
    const mappings = Object.entries(this.earlier?.labelMappings ?? {});
    this.labels = mappings.map(([label]) => label);
    this.colors = mappings.map(([, { color }]) => color.toLowerCase()); // in files
    this.shownColors = shownColors(this.labels);
    this.touch = window.matchMedia("(pointer: coarse)").matches;
    this.actions = new Actions(this, verdictActions(this.categories));
    this.build();
    await this.loadSaved();
    this.view = new View(this.parts.stage, this.parts.photoCanvas, this.parts.maskCanvas);
    this.view.onchange = () => this.showPosition();
    const { opacity, brightness, contrast, gamma, auto } = { ...this.view, ...services.settings?.load() };
    Object.assign(this.view, { opacity, brightness, contrast, gamma, auto });
    new Pointer(this.parts.stage, this);
    this.quit = new AbortController();
    this.actions.listen(this.quit.signal);
    this.photo = await Photo.load(this.getAttribute("src"), services.fetcher);
    this.map = new LabelMap(this.photo.width, this.photo.height);
    if (this.earlier) await readEarlierMask(this.map, this.earlier.src, this.colors, services.fetcher);
    this.view.show(this.photo, this.map, this.shownColors);
    this.ready = true;
    this.dataset.ready = "true";
    this.refresh();
  }
  disconnectedCallback() {
    this.quit?.abort();
  }

  build() {
    const comment = this.querySelector("worker-comment");
    this.wantsComment = (comment?.getAttribute("required-for") ?? "").split(",").map((category) => category.trim()).filter(Boolean);
    takeInstructions(this);
    const parts = (this.parts = {});
    parts.photoCanvas = h("canvas", { class: "layer" });
    parts.maskCanvas = h("canvas", { class: "layer" });
    parts.stage = h("div", { class: "stage", tabindex: "0", role: "application", "data-tool": "pan", "aria-roledescription": "image", "aria-label": "The image and the mask to judge. Arrow keys move it, plus and minus zoom, question mark lists the keys." },
      parts.photoCanvas, parts.maskCanvas);
    parts.steps = Object.entries(STEPS).map(([name, label]) => railButton(this, name, label));
    const rail = h("div", { class: "rail", role: "toolbar", "aria-label": "View", "aria-orientation": "vertical" }, ...parts.steps);
    parts.choices = this.categories.map((category, i) => h("input", { type: "radio", name: "verdict", value: category, "aria-keyshortcuts": i < 9 ? String(i + 1) : null, onchange: () => this.choose(category) }));
    const verdicts = this.categories.map((category, i) => h("label", { class: "label" }, parts.choices[i], h("span", { class: "name" }, category), i < 9 ? h("kbd", {}, String(i + 1)) : null));
    parts.comment = h("textarea", { id: "worker-comment", rows: "3", maxlength: "1000", placeholder: comment?.getAttribute("placeholder") ?? "", oninput: () => this.keep() });
    parts.legend = this.labels.map((label, i) => h("li", {}, h("i", { class: "swatch", style: { background: this.shownColors[i] } }), h("span", { class: "name" }, label), h("span", { class: "share" })));
    parts.place = h("p", { class: "place" });
    parts.message = h("p", { class: "message", role: "status", "aria-live": "polite" });
    parts.hint = h("p", { class: "hint" });
    const foot = h("footer", { class: "foot" }, parts.hint, parts.message, parts.place);
    const side = h("aside", { class: "side", "aria-label": "Your verdict" },
      this.shortInstructions ? h("section", { class: "short" }, this.shortInstructions) : null,
      h("section", { class: "verdict" }, h("h2", {}, "Verdict"), h("div", { class: "choices", role: "radiogroup", "aria-label": "Verdict" }, ...verdicts)),
      h("section", { class: "remark" }, h("h2", {}, h("label", { for: "worker-comment" }, comment?.getAttribute("header") || "Comment")), comment?.textContent.trim() ? h("div", { class: "prose" }, ...comment.childNodes) : null, parts.comment),
      h("section", { class: "settings", "aria-label": "Mask" }, this.labels.length ? h("ul", { class: "legend" }, ...parts.legend) : null, lookSettings(this, parts, "Mask strength"), toggle(this, parts, "visible", "Show mask")));
    this.replaceChildren(rail, parts.stage, side, foot);
  }

  // ---- pointer ----

  pointerAt(at) {
    this.pointed = at;
    this.showPosition();
  }
  showPosition() {
    if (this.ready) this.parts.place.textContent = placeWords(this, this.pointed);
  }
  showMessage(text, { alarm = false } = {}) {
    this.parts.message.textContent = text;
    this.parts.message.classList.toggle("alarm", alarm);
  }

  // ---- actions ----

  do(id) {
    this.actions.run(id);
    this.refresh();
  }
  get words() {
    return this.actions.words();
  }

  refresh() {
    const { parts, view, map } = this;
    if (!map) return;
    showLook(parts, view);
    const { opacity, brightness, contrast, gamma, auto } = view;
    if (this.ready) this.services.settings?.save({ opacity, brightness, contrast, gamma, auto });
    const { touch, key } = this.actions.words();
    parts.hint.textContent = touch ? "Drag to move, two fingers zoom." : `Drag to move, the wheel zooms. ${key("visible")} hides the mask.`;
    const [visible] = parts.steps;
    visible.setAttribute("aria-pressed", String(!view.shown));
    parts.legend.forEach((row, i) => (row.querySelector(".share").textContent = percent(map.counts[i + 1] / map.data.length)));
    this.showPosition();
  }

  choose(category) {
    this.parts.choices[this.categories.indexOf(category)].checked = true;
    this.keep();
  }
  get chosen() {
    return this.parts.choices.find((choice) => choice.checked)?.value ?? null;
  }

  /** Move the image with an arrow key. */
  moveImage(event) {
    this.view.pan(...ARROWS[event.key]);
  }

  showInstructions() {
    if (this.instructions) openDialog(this.instructionsTitle, this.instructions.cloneNode(true));
  }
  showSheet() {
    this.actions.showSheet();
  }

  // ---- saved state ----

  get place() {
    return `verdict ${this.services.journal?.key}`;
  }
  /** Save in this browser at once, on the server shortly after. */
  keep() {
    const kept = { chosen: this.chosen, comment: this.parts.comment.value };
    const { journal } = this.services;
    const write = () => localStorage.setItem(this.place, JSON.stringify({ ...kept, base: journal?.about.base ?? 0 }));
    if (journal) journal.onshared = write;
    write();
    journal?.setValue(kept);
  }
  async loadSaved() {
    const here = JSON.parse(localStorage.getItem(this.place) ?? "null");
    const { submitted } = this.services; // a reopened answer
    const before = submitted ? { chosen: submitted.label, comment: submitted.workerComment } : null;
    const kept = (await this.services.journal?.loadValue(here?.base ?? 0)) ?? here ?? before;
    if (!kept) return;
    const choice = this.parts.choices[this.categories.indexOf(kept.chosen)];
    if (choice) choice.checked = true;
    this.parts.comment.value = kept.comment ?? "";
  }
  /** Delete stored work after the answer was submitted. */
  discard() {
    localStorage.removeItem(this.place);
  }

  // ---- the answer ----

  /** Message about what is missing before the answer can be submitted; "" if nothing. */
  lacks() {
    if (this.chosen === null) return `Choose ${this.categories.join(" or ")} first.`;
    if (!this.wantsComment.includes(this.chosen) || this.parts.comment.value.trim()) return "";
    this.parts.comment.focus();
    return `Write a comment first: say what is ${this.chosen}. The worker who corrects the mask reads it.`;
  }
  async answer() {
    const comment = this.parts.comment.value.trim();
    return comment ? { label: this.chosen, workerComment: comment } : { label: this.chosen };
  }
}

customElements.define("crowd-image-classifier", CrowdImageClassifier);
