// Layout of the drawing element: tools at the left, the stage in the middle, labels and settings at the right, hints at the bottom.

import { h, icon } from "./dom.js";
import { labelList, percent } from "./labels.js";
import { lookSettings, showLook, slider, toggle } from "./settings.js";

const TOOLS = ["auto", "brush", "eraser", "polygon", "scissors", "fill", "region", "box", "pan"];
const OFFERS = ["takeAllSuggested", "takeSuggested", "clearSuggested", "back", "cancel", "commit"]; // buttons beside the hint, for suggestions and the open object
const STEPS = ["undo", "redo", "zoomOut", "zoomIn", "fit"];

export function buildPanel(editor) {
  const parts = {};
  takeInstructions(editor);
  parts.tools = TOOLS.map((name) => railButton(editor, name));
  parts.steps = STEPS.map((name) => railButton(editor, name));
  const rail = h("div", { class: "rail", role: "toolbar", "aria-label": "Tools", "aria-orientation": "vertical" }, ...parts.tools, h("hr"), ...parts.steps);

  parts.photoCanvas = h("canvas", { class: "layer" });
  parts.labelCanvas = h("canvas", { class: "layer" });
  parts.marks = h("svg", { class: "layer marks", "aria-hidden": "true" });
  parts.stage = h("div", { class: "stage", tabindex: "0", role: "application", "aria-roledescription": "drawing area", "aria-label": "Image. Arrow keys move the crosshair, Enter presses, question mark lists the keys." },
    parts.photoCanvas, parts.labelCanvas, parts.marks);
  parts.hint = h("p", { class: "hint" });
  parts.message = h("p", { class: "message", role: "status", "aria-live": "polite" });
  parts.place = h("p", { class: "place" });
  parts.offers = OFFERS.map((id) => h("button", { type: "button", class: id === "commit" ? "primary" : "", "data-action": id, title: editor.actions.title(id), hidden: true, onclick: () => editor.do(id) }, editor.actions.get(id).label));
  parts.options = h("span", { class: "options", role: "group", "aria-label": "How the tool works" });
  const foot = h("footer", { class: "foot" }, parts.options, parts.hint, h("span", { class: "offers" }, ...parts.offers), parts.message, parts.place);

  parts.labels = labelList(editor);
  parts.unlabeled = parts.labels.blank;
  parts.more = h("button", { type: "button", class: "more", "aria-expanded": "false", title: "Labels and settings", "aria-label": "Labels and settings", onclick: () => editor.showDrawer() }, icon("more"));
  parts.drawer = h("div", { class: "drawer" },
    editor.shortInstructions ? h("section", { class: "short" }, editor.shortInstructions) : null,
    parts.labels.section,
    settings(editor, parts));
  const side = h("aside", { class: "side", "aria-label": "Labels and settings" }, parts.more, parts.drawer);
  editor.replaceChildren(rail, parts.stage, side, foot);
  return { ...parts, refresh: () => refresh(editor, parts), overlay: () => overlay(editor, parts), showMessage: (text, alarm) => showMessage(parts, text, alarm), showPosition: (p) => (parts.message.textContent = place(editor, p)) };
}

export function railButton(editor, name, label = editor.actions.get(name).label) {
  return h("button", { class: "tool", type: "button", "data-action": name, title: editor.actions.title(name), "aria-label": label, "aria-keyshortcuts": editor.actions.shortcut(name), onclick: () => editor.do(name) }, icon(name), h("span", {}, label));
}

export function takeInstructions(editor) {
  const full = editor.querySelector("full-instructions");
  const short = editor.querySelector("short-instructions");
  editor.instructionsTitle = full?.getAttribute("header") || "Instructions";
  editor.instructions = full?.textContent.trim() || full?.querySelector("img") ? h("div", { class: "prose" }, ...full.childNodes) : null;
  editor.shortInstructions = short?.textContent.trim() || short?.querySelector("img") ? h("div", { class: "prose" }, ...short.childNodes) : null;
}

/** Settings: brush, label strength, image tone. */
function settings(editor, parts) {
  return h("section", { class: "settings", "aria-label": "Settings" },
    slider(parts, "size", "Brush size", { min: 0, max: 100, step: 1 }, (v) => editor.setSize(1000 ** (v / 100))),
    lookSettings(editor, parts, "Label strength"),
    toggle(editor, parts, "visible"), toggle(editor, parts, "blanks"), toggle(editor, parts, "protect"));
}

function refresh(editor, parts) {
  for (const tool of parts.tools) {
    const name = tool.dataset.action;
    tool.setAttribute("aria-pressed", String(name === editor.tool));
    if (["auto", "scissors"].includes(name)) tool.hidden = !editor.services.canAutosegment;
  }
  parts.stage.dataset.tool = editor.tool;
  const { map, history, view } = editor;
  parts.labels.refresh();
  showOptions(editor, parts);
  parts.hint.textContent = editor.active.hint;
  for (const offer of parts.offers) offer.hidden = !(editor.active.click || editor.active.taps) || !editor.actions.can(offer.dataset.action);
  if (!map || !history) return;
  const [undo, redo] = parts.steps;
  undo.toggleAttribute("disabled", !history.cursor && !editor.active.isOpen);
  redo.toggleAttribute("disabled", history.cursor >= history.ops.length);
  parts.unlabeled.querySelector(".share").textContent = percent(map.counts[0] / map.data.length);
  parts.unlabeled.setAttribute("aria-pressed", String(view.blanks));
  parts.size.value = Math.round((100 * Math.log(editor.size)) / Math.log(1000));
  parts.sizeValue.textContent = `${editor.size} px`;
  showLook(parts, view);
  parts.blanks.checked = view.blanks;
  parts.protect.checked = editor.protect;
}

/** Show the tool's options. Unchanged buttons are kept, so that they keep the focus. */
function showOptions(editor, parts) {
  const { options } = editor.active;
  const shown = options.join(" ");
  if (parts.options.dataset.shown !== shown) {
    parts.options.dataset.shown = shown;
    parts.options.replaceChildren(...options.map((id) => h("button", { type: "button", "data-action": id, title: editor.actions.title(id), onclick: () => editor.do(id) }, editor.actions.get(id).label)));
  }
  for (const button of parts.options.children) {
    const choice = (editor.active.ways ?? options).includes(button.dataset.action);
    if (choice) button.setAttribute("aria-pressed", String(editor.active.isOn(button.dataset.action)));
  }
}

/** Show the position of stored pixel [x, y] in upright coordinates. */
function place(editor, [x, y]) {
  const label = editor.map.at(Math.floor(x), Math.floor(y));
  return `${editor.view.orientation.toUpright(x, y).map(Math.floor).join(", ")}: ${label ? editor.labels[label - 1] : "unlabeled"}`;
}

/** Text: image position of stage coordinates `at`, its label, and the zoom. */
export function placeWords(editor, at) {
  const { view } = editor;
  const { width, height, turned } = view.orientation;
  const inside = at && view.toUpright(...at);
  const seen = inside && inside[0] >= 0 && inside[1] >= 0 && inside[0] < width && inside[1] < height;
  return `${seen ? place(editor, view.toImage(...at)) : `${width} × ${height}${turned ? ", shown upright" : ""}`} · ${Math.round(view.zoom * 100)}%`;
}

function showMessage(parts, text, alarm = false) {
  parts.message.textContent = text;
  parts.message.classList.toggle("alarm", alarm);
}

/** Draw points, open lines, the brush's ring and the crosshair, and update the position text. */
function overlay(editor, parts) {
  const { view, active } = editor;
  if (!editor.ready) return;
  const marks = view.shown ? editor.suggestion.marks() : [];
  const screen = (p) => view.toScreen(p[0], p[1]);
  const path = (points) => points.map((p) => screen(p).map((v) => v.toFixed(1)).join(",")).join(" ");
  const shape = active.shape;
  if (shape?.line) for (const kind of ["under", "over"]) marks.push(h("polyline", { points: path(shape.line), class: kind }));
  if (shape?.closing) marks.push(h("polyline", { points: path(shape.closing), class: "under closing" }), h("polyline", { points: path(shape.closing), class: "over closing" }));
  if (shape?.box) {
    const [[ax, ay], [bx, by]] = [screen(shape.box), screen(shape.box.slice(2))];
    for (const kind of ["under", "over"]) marks.push(h("rect", { x: Math.min(ax, bx), y: Math.min(ay, by), width: Math.abs(bx - ax), height: Math.abs(by - ay), class: shape.faint ? `${kind} faint` : kind }));
  }
  for (const [x, y, kind, hot] of shape?.points ?? []) marks.push(point(screen([x, y]), kind, { color: editor.shownColors[editor.label - 1], hot }));
  parts.stage.classList.toggle("hot", Boolean(shape?.points?.some(([, , , hot]) => hot)));
  const at = editor.crosshair ? screen(editor.crosshair) : editor.pointed;
  if (at && ["brush", "eraser"].includes(editor.tool)) {
    const r = Math.max(1.5, (editor.size / 2) * view.zoom);
    for (const kind of ["under", "over"]) marks.push(h("circle", { cx: at[0], cy: at[1], r, class: `${kind} ring` }));
  }
  if (editor.crosshair) for (const kind of ["under", "over"]) marks.push(h("path", { d: `M${at[0] - 14} ${at[1]}h28M${at[0]} ${at[1] - 14}v28`, class: kind }));
  parts.marks.replaceChildren(...marks);
  parts.place.textContent = placeWords(editor, at);
}

function point([x, y], kind, { color, hot }) {
  if (kind === "inside" || kind === "outside") {
    const sign = kind === "inside" ? "M-4 0h8M0 -4v8" : "M-4 0h8";
    return h("g", { transform: `translate(${x} ${y})` }, h("circle", { r: hot ? 9 : 7, class: `click ${kind}` }), h("path", { d: sign, class: "sign" }));
  }
  return h("circle", { cx: x, cy: y, r: (kind === "first" ? 7 : 5) + (hot ? 2 : 0), class: "corner", style: { fill: color } });
}
