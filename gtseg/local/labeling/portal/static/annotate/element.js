// <crowd-semantic-segmentation>, a compatible implementation of Ground Truth's element. Attributes: name, src, labels, header, initial-value. Children: <full-instructions>,
// <short-instructions>. `begin(services)` starts it; `answer()` returns the element's JSON, with a mask in stored pixels.

import { drawingActions } from "./actions.js";
import { colorsFor } from "./label_colors.js";
import { openDialog } from "./dom.js";
import { readEarlierMask } from "./earlier_mask.js";
import { History } from "./history.js";
import { Actions } from "./keys.js";
import { LabelStates } from "./labels.js";
import { parseLooseJson } from "./loose_json.js";
import { buildPanel } from "./panel.js";
import { Photo } from "./photo.js";
import { base64, encode } from "./png.js";
import { PictureElement } from "./picture_element.js";
import { Pointer } from "./pointer.js";
import { LabelMap } from "./raster.js";
import { shownColors } from "./shown_colors.js";
import { Suggestion } from "./suggestion.js";
import { OPERATIONS, TOOLS } from "./tools.js";
import { View } from "./view.js";

export class CrowdSemanticSegmentation extends PictureElement {
  get name() {
    return this.getAttribute("name") || "crowd-semantic-segmentation";
  }

  /** services: {colors: the owner's choice by label, autosegment(request), scissors(request), starts, journal | null, canAutosegment, fetcher, onstate, suggestion: Promise | undefined}; `starts`: a promise of how objects may begin. Resolves when the first stroke can be drawn. */
  async begin(services) {
    this.services = services;
    this.labels = readLabels(this.getAttribute("labels"));
    this.initial = this.getAttribute("initial-value") ? parseLooseJson(this.getAttribute("initial-value")) : null;
    const given = Object.fromEntries(Object.entries(this.initial?.labelMappings ?? {}).map(([label, { color }]) => [label, color]));
    this.colors = colorsFor(this.labels, given); // in files
    this.shownColors = shownColors(this.labels, services.colors);
    Object.assign(this, { label: 1, size: 24, protect: false, ready: false, touch: window.matchMedia("(pointer: coarse)").matches });
    this.actions = new Actions(this, drawingActions(this.labels));
    this.states = new LabelStates(this.labels);
    this.tools = Object.fromEntries(Object.entries(TOOLS).map(([name, Kind]) => [name, new Kind(this)]));
    this.tool = services.canAutosegment ? "auto" : "brush";
    this.panel = buildPanel(this);
    this.view = new View(this.panel.stage, this.panel.photoCanvas, this.panel.labelCanvas);
    this.view.onchange = () => this.overlay();
    this.pointer = new Pointer(this.panel.stage, this);
    this.view.busy = () => this.pointer.mode === "draw";
    this.loadSettings();
    this.quit = new AbortController();
    this.actions.listen(this.quit.signal);
    services.starts?.then((starts) => {
      if (starts) this.tools.auto.starts = starts;
      this.refresh();
    });
    await this.load();
  }

  async load() {
    this.showMessage("Loading the image…");
    this.photo = await Photo.load(this.getAttribute("src"), this.services.fetcher);
    const { width, height } = this.photo;
    this.map = new LabelMap(width, height);
    if (this.initial) await this.loadInitial();
    const { journal, submission } = this.services;
    if (submission) await readEarlierMask(this.map, submission, this.colors, this.services.fetcher); // a reopened answer
    this.history = new History(this.map, journal);
    const earlier = await journal?.load({ width, height, labels: JSON.stringify(this.labels), start: submission ? "submission" : "" }).catch(() => null);
    if (earlier) this.history.restore(earlier.ops, earlier.cursor);
    this.suggestion = new Suggestion(this, await this.services.suggestion?.catch(() => null));
    this.size = this.chosenSize ?? Math.max(3, Math.round(Math.max(width, height) / 40));
    this.changeStates(() => {});
    this.view.show(this.photo, this.map, this.shownColors);
    this.ready = true;
    this.dataset.ready = "true";
    this.refresh();
    this.showMessage(earlier?.cursor ? "Your earlier work on this image was restored." : this.suggestion.any ? this.suggestion.words : "");
  }

  /** Load an earlier mask as the initial labels, by color and label name. Other colors are background. */
  async loadInitial() {
    await readEarlierMask(this.map, this.initial.src, this.colors, this.services.fetcher);
    this.untouched = this.map.data.slice();
  }

  // ---- for tools ----

  over() {
    return this.protect ? (old) => old === 0 : null;
  }
  get active() {
    return this.tools[this.tool];
  }
  autosegment(request) {
    return this.services.autosegment(request);
  }
  done(op, { keep = false } = {}) {
    this.history.push(op);
    if (op || !this.refusal) this.showMessage("");
    if (!keep) this.pointed = null;
    this.refresh();
  }
  isLast(op) {
    return this.history.ops[this.history.cursor - 1] === op;
  }
  revert(op) {
    if (this.isLast(op)) this.view.touch(this.history.undo());
  }
  showMessage(text, { alarm = false } = {}) {
    this.panel.showMessage(text, alarm);
  }

  // ---- the pointer, in image coordinates ----

  press(p, how) {
    this.crosshair = null;
    this.view.handled = true;
    this.refusal = ["pan", "eraser", "box"].includes(this.tool) || how.erase ? "" : this.states.refusal(this.label);
    if (this.refusal) this.showMessage(this.refusal, { alarm: true });
    this.active.down(p, how);
  }
  drag(p) {
    this.active.move(p);
  }
  lift() {
    this.active.up();
  }
  /** Stage coordinates, or null when the pointer leaves. */
  pointerAt(at, how = {}) {
    this.pointed = at;
    if (at && !this.crosshair) this.active.hover?.(this.view.toImage(...at), how);
    this.overlay();
  }

  // ---- actions (actions.js) ----

  do(id) {
    this.actions.run(id);
    this.refresh();
  }
  get words() {
    return this.actions.words();
  }

  step(way) {
    if (this.pointer.mode === "draw") this.lift();
    if (this.active[way]()) return undefined; // undid a point or click of the open object
    const taken = way === "undo" ? this.history.ops[this.history.cursor - 1] : this.history.ops[this.history.cursor];
    this.view.touch(this.history[way]());
    if (this.active.complete) this.active.commit();
    this.suggestion.stepped(taken, way);
    return taken && this.showMessage(`${way === "undo" ? "Undone" : "Redone"}: ${OPERATIONS[taken.kind.replace("+", "")] ?? taken.kind}. ${this.history.cursor} of ${this.history.ops.length} steps.`);
  }

  choose(tool) {
    if (tool === "auto" && !this.services.canAutosegment) return this.showMessage("Auto-segment is not available in this job.");
    if (this.active === this.tools[tool]) this.active.commit();
    else this.active.finish();
    this.tool = tool;
    this.showMessage("");
    return this.refresh();
  }

  /** Select the tool's next option. */
  nextOption() {
    const ways = this.active.ways ?? this.active.options;
    this.do(ways[(ways.findIndex((id) => this.active.isOn(id)) + 1) % ways.length]);
  }

  pick(label) {
    if (label < 1 || label > this.labels.length) return;
    if (this.active.complete) this.active.commit();
    this.label = label;
    this.showDrawer(false);
    this.refresh();
  }

  resizeBrush(factor) {
    if (this.active.resize) return this.active.resize(factor);
    const next = Math.round(this.size * factor);
    this.setSize(next === this.size ? this.size + Math.sign(factor - 1) : next);
  }
  /** Set the brush's diameter in image pixels, also for later images. */
  setSize(size) {
    this.size = this.chosenSize = Math.min(1000, Math.max(1, Math.round(size)));
    this.refresh();
  }

  /** Hide, show or lock labels. */
  changeStates(change) {
    change(this.states);
    this.view.hidden = this.states.hidden;
    this.map.locked = this.states.protected;
    this.view.paint();
    this.refresh();
  }

  findLabel() {
    this.showDrawer(true);
    this.panel.labels.find();
  }
  /** Show or hide labels and settings, which are a drawer over the image on narrow screens. */
  showDrawer(open = !this.classList.contains("drawer-open")) {
    this.classList.toggle("drawer-open", open);
    this.panel.more.setAttribute("aria-expanded", String(open));
  }

  // ---- settings kept between images ----

  loadSettings() {
    const kept = this.services.settings?.load() ?? {};
    if (kept.tool in TOOLS && (kept.tool !== "auto" || this.services.canAutosegment)) this.tool = kept.tool;
    this.label = Math.max(0, this.labels.indexOf(kept.label)) + 1;
    this.protect = Boolean(kept.protect);
    if (kept.size >= 1) this.chosenSize = Math.min(1000, kept.size);
    this.states.restore(kept.labels ?? {});
    const { view } = this;
    for (const name of ["opacity", "brightness", "contrast", "gamma"]) if (Number.isFinite(kept[name])) view[name] = kept[name];
    for (const name of ["blanks", "auto"]) view[name] = Boolean(kept[name]);
  }
  saveSettings() {
    const { view, tool, protect } = this;
    const { opacity, brightness, contrast, gamma, blanks, auto } = view;
    const labels = this.states.save();
    this.services.settings?.save({ tool, label: this.labels[this.label - 1], size: this.chosenSize, protect, opacity, brightness, contrast, gamma, blanks, auto, labels });
  }

  showInstructions() {
    if (!this.instructions) return;
    openDialog(this.instructionsTitle, this.instructions.cloneNode(true));
  }

  showSheet() {
    this.actions.showSheet();
  }

  // ---- keyboard ----

  disconnectedCallback() {
    this.quit?.abort();
  }
  holdImage(held) {
    this.pointer.space = held;
    this.panel.stage.classList.toggle("movable", held);
  }

  moveCrosshair(event) {
    const stage = this.panel.stage;
    const step = (event.shiftKey ? 20 : 2) / this.view.zoom;
    const reach = Math.max(step, event.shiftKey ? 1 : Math.min(1, step));
    this.crosshair ??= this.view.toImage(...(this.pointed ?? [stage.clientWidth / 2, stage.clientHeight / 2])).map((v) => Math.floor(v) + 0.5);
    const [dx, dy] = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    const whole = Math.max(1, Math.round(reach));
    const [sx, sy] = this.view.orientation.stepToStored(dx * whole, dy * whole);
    this.crosshair = [clamp(this.crosshair[0] + sx, 0.5, this.photo.width - 0.5), clamp(this.crosshair[1] + sy, 0.5, this.photo.height - 0.5)];
    const at = this.view.toScreen(...this.crosshair);
    this.view.pan(panDistance(at[0], stage.clientWidth), panDistance(at[1], stage.clientHeight));
    this.active.hover?.(this.crosshair);
    if (this.held) this.active.move(this.crosshair);
    this.pointed = this.view.toScreen(...this.crosshair);
    this.overlay();
    this.panel.showPosition(this.crosshair);
  }

  pressAtCrosshair() {
    if (this.active.click || this.active.taps) {
      this.active.down(this.crosshair, {});
      return this.active.up();
    }
    this.held = !this.held;
    if (this.held) return this.active.down(this.crosshair, {});
    return this.active.up();
  }

  // ---- showing ----

  refresh() {
    if (!this.panel) return;
    this.panel.refresh();
    this.overlay();
    if (this.ready) this.saveSettings();
    this.services.onstate?.(this);
  }
  overlay() {
    this.panel?.overlay();
  }

  // ---- the answer ----

  /** Finish the open object and wait for all requested outlines. */
  async finishPending() {
    this.active.finish();
    await this.tools.auto.idle();
  }

  async answer() {
    await this.finishPending();
    const { width, height } = this.map;
    const png = await base64(await encode(this.map, this.colors));
    const value = {
      inputImageProperties: { height, width },
      labelMappings: Object.fromEntries(this.labels.map((label, i) => [label, { color: this.colors[i] }])),
      labeledImage: { pngImageData: png },
    };
    if (this.untouched) value.initialValueModified = this.untouched.some((v, i) => v !== this.map.data[i]);
    return value;
  }
}

function readLabels(text) {
  let labels;
  try {
    labels = JSON.parse(text ?? "");
  } catch {
    throw new Error(`the template's labels="${String(text).slice(0, 60)}" is not a JSON list`);
  }
  if (!Array.isArray(labels) || !labels.length) throw new Error("the template gives no labels");
  return labels.map(String).slice(0, 255);
}

function clamp(value, low, high) {
  return Math.min(high, Math.max(low, value));
}

/** Distance to pan so that a point is 40 px inside the stage. */
function panDistance(value, length) {
  if (value < 40) return 40 - value;
  return value > length - 40 ? length - 40 - value : 0;
}

export class CrowdForm extends HTMLElement {
  /** Every named element's value: {"crowd-semantic-segmentation": {...}, "comment": "..."} */
  async answer() {
    const values = {};
    for (const field of this.querySelectorAll("input[name], textarea[name], select[name]")) {
      if (field.closest("crowd-image-classifier")) continue; // the element's own buttons
      if (["checkbox", "radio"].includes(field.type)) {
        if (field.type === "checkbox") values[field.name] = field.checked;
        else if (field.checked) values[field.name] = field.value;
      } else values[field.name] = field.value;
    }
    for (const element of this.querySelectorAll("crowd-semantic-segmentation, crowd-image-classifier")) values[element.name] = await element.answer();
    return values;
  }
}

customElements.define("crowd-form", CrowdForm);
customElements.define("crowd-semantic-segmentation", CrowdSemanticSegmentation);
