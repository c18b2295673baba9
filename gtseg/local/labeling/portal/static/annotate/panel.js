// Layout of the drawing element: tools at the left, the stage in the middle, labels and settings at the right, hints at the bottom.

import { h, icon } from "./dom.js";
import { labelList, percent } from "./labels.js";
import { lookSettings, showLook, slider, toggle } from "./settings.js";

const TOOLS = ["auto", "brush", "eraser", "polygon", "scissors", "fill", "region", "box", "pan"];
const OFFERS = ["takeAllSuggested", "takeSuggested", "clearSuggested", "back", "cancel", "commit"]; // buttons beside the hint, for suggestions and the open object
const STEPS = ["undo", "redo", "zoomOut", "zoomIn", "fit"];

export function buildPanel(desk) {
  const parts = {};
  takeInstructions(desk);
  parts.tools = TOOLS.map((name) => railButton(desk, name));
  parts.steps = STEPS.map((name) => railButton(desk, name));
  const rail = h("div", { class: "rail", role: "toolbar", "aria-label": "Tools", "aria-orientation": "vertical" }, ...parts.tools, h("hr"), ...parts.steps);

  parts.photoCanvas = h("canvas", { class: "layer" });
  parts.labelCanvas = h("canvas", { class: "layer" });
  parts.marks = h("svg", { class: "layer marks", "aria-hidden": "true" });
  parts.stage = h("div", { class: "stage", tabindex: "0", role: "application", "aria-roledescription": "drawing area", "aria-label": "Image. Arrow keys move the crosshair, Enter presses, question mark lists the keys." },
    parts.photoCanvas, parts.labelCanvas, parts.marks);
  parts.hint = h("p", { class: "hint" });
  parts.message = h("p", { class: "message", role: "status", "aria-live": "polite" });
  parts.place = h("p", { class: "place" });
  parts.offers = OFFERS.map((id) => h("button", { type: "button", class: id === "commit" ? "primary" : "", "data-action": id, title: desk.actions.title(id), hidden: true, onclick: () => desk.do(id) }, desk.actions.get(id).label));
  parts.options = h("span", { class: "options", role: "group", "aria-label": "How the tool works" });
  const foot = h("footer", { class: "foot" }, parts.options, parts.hint, h("span", { class: "offers" }, ...parts.offers), parts.message, parts.place);

  parts.labels = labelList(desk);
  parts.unlabeled = parts.labels.blank;
  parts.more = h("button", { type: "button", class: "more", "aria-expanded": "false", title: "Labels and settings", "aria-label": "Labels and settings", onclick: () => desk.showDrawer() }, icon("more"));
  parts.drawer = h("div", { class: "drawer" },
    desk.shortInstructions ? h("section", { class: "short" }, desk.shortInstructions) : null,
    parts.labels.section,
    settings(desk, parts));
  const side = h("aside", { class: "side", "aria-label": "Labels and settings" }, parts.more, parts.drawer);
  desk.replaceChildren(rail, parts.stage, side, foot);
  return { ...parts, refresh: () => refresh(desk, parts), overlay: () => overlay(desk, parts), say: (text, alarm) => say(parts, text, alarm), tellPlace: (p) => (parts.message.textContent = place(desk, p)) };
}

export function railButton(desk, name, label = desk.actions.get(name).label) {
  return h("button", { class: "tool", type: "button", "data-action": name, title: desk.actions.title(name), "aria-label": label, "aria-keyshortcuts": desk.actions.shortcut(name), onclick: () => desk.do(name) }, icon(name), h("span", {}, label));
}

export function takeInstructions(desk) {
  const full = desk.querySelector("full-instructions");
  const short = desk.querySelector("short-instructions");
  desk.instructionsTitle = full?.getAttribute("header") || "Instructions";
  desk.instructions = full?.textContent.trim() || full?.querySelector("img") ? h("div", { class: "prose" }, ...full.childNodes) : null;
  desk.shortInstructions = short?.textContent.trim() || short?.querySelector("img") ? h("div", { class: "prose" }, ...short.childNodes) : null;
}

/** Settings: brush, label strength, image tone. */
function settings(desk, parts) {
  return h("section", { class: "settings", "aria-label": "Settings" },
    slider(parts, "size", "Brush size", { min: 0, max: 100, step: 1 }, (v) => desk.setSize(1000 ** (v / 100))),
    lookSettings(desk, parts, "Label strength"),
    toggle(desk, parts, "visible"), toggle(desk, parts, "blanks"), toggle(desk, parts, "protect"));
}

function refresh(desk, parts) {
  for (const tool of parts.tools) {
    const name = tool.dataset.action;
    tool.setAttribute("aria-pressed", String(name === desk.tool));
    if (["auto", "scissors"].includes(name)) tool.hidden = !desk.services.canAutosegment;
  }
  parts.stage.dataset.tool = desk.tool;
  const { map, history, view } = desk;
  parts.labels.refresh();
  showOptions(desk, parts);
  parts.hint.textContent = desk.active.hint;
  for (const offer of parts.offers) offer.hidden = !(desk.active.click || desk.active.taps) || !desk.actions.can(offer.dataset.action);
  if (!map || !history) return;
  const [undo, redo] = parts.steps;
  undo.toggleAttribute("disabled", !history.cursor && !desk.active.isOpen);
  redo.toggleAttribute("disabled", history.cursor >= history.ops.length);
  parts.unlabeled.querySelector(".share").textContent = percent(map.counts[0] / map.data.length);
  parts.unlabeled.setAttribute("aria-pressed", String(view.blanks));
  parts.size.value = Math.round((100 * Math.log(desk.size)) / Math.log(1000));
  parts.sizeValue.textContent = `${desk.size} px`;
  showLook(parts, view);
  parts.blanks.checked = view.blanks;
  parts.protect.checked = desk.protect;
}

/** Show the tool's options. Unchanged buttons are kept, so that they keep the focus. */
function showOptions(desk, parts) {
  const { options } = desk.active;
  const shown = options.join(" ");
  if (parts.options.dataset.shown !== shown) {
    parts.options.dataset.shown = shown;
    parts.options.replaceChildren(...options.map((id) => h("button", { type: "button", "data-action": id, title: desk.actions.title(id), onclick: () => desk.do(id) }, desk.actions.get(id).label)));
  }
  for (const button of parts.options.children) {
    const choice = (desk.active.ways ?? options).includes(button.dataset.action);
    if (choice) button.setAttribute("aria-pressed", String(desk.active.isOn(button.dataset.action)));
  }
}

/** Show the position of stored pixel [x, y] in upright coordinates. */
function place(desk, [x, y]) {
  const label = desk.map.at(Math.floor(x), Math.floor(y));
  return `${desk.view.turn.toUpright(x, y).map(Math.floor).join(", ")}: ${label ? desk.labels[label - 1] : "unlabeled"}`;
}

/** Text: image position of stage coordinates `at`, its label, and the zoom. */
export function placeWords(desk, at) {
  const { view } = desk;
  const { width, height, turned } = view.turn;
  const inside = at && view.toUpright(...at);
  const seen = inside && inside[0] >= 0 && inside[1] >= 0 && inside[0] < width && inside[1] < height;
  return `${seen ? place(desk, view.toImage(...at)) : `${width} × ${height}${turned ? ", shown upright" : ""}`} · ${Math.round(view.zoom * 100)}%`;
}

function say(parts, text, alarm = false) {
  parts.message.textContent = text;
  parts.message.classList.toggle("alarm", alarm);
}

/** Draw points, open lines, the brush's ring and the crosshair, and update the position text. */
function overlay(desk, parts) {
  const { view, active } = desk;
  if (!desk.ready) return;
  const marks = view.shown ? desk.suggestion.marks() : [];
  const screen = (p) => view.toScreen(p[0], p[1]);
  const path = (points) => points.map((p) => screen(p).map((v) => v.toFixed(1)).join(",")).join(" ");
  const shape = active.shape;
  if (shape?.line) for (const kind of ["under", "over"]) marks.push(h("polyline", { points: path(shape.line), class: kind }));
  if (shape?.closing) marks.push(h("polyline", { points: path(shape.closing), class: "under closing" }), h("polyline", { points: path(shape.closing), class: "over closing" }));
  if (shape?.box) {
    const [[ax, ay], [bx, by]] = [screen(shape.box), screen(shape.box.slice(2))];
    for (const kind of ["under", "over"]) marks.push(h("rect", { x: Math.min(ax, bx), y: Math.min(ay, by), width: Math.abs(bx - ax), height: Math.abs(by - ay), class: shape.faint ? `${kind} faint` : kind }));
  }
  for (const [x, y, kind, hot] of shape?.points ?? []) marks.push(point(screen([x, y]), kind, { color: desk.shownColors[desk.label - 1], hot }));
  parts.stage.classList.toggle("hot", Boolean(shape?.points?.some(([, , , hot]) => hot)));
  const at = desk.crosshair ? screen(desk.crosshair) : desk.pointed;
  if (at && ["brush", "eraser"].includes(desk.tool)) {
    const r = Math.max(1.5, (desk.size / 2) * view.zoom);
    for (const kind of ["under", "over"]) marks.push(h("circle", { cx: at[0], cy: at[1], r, class: `${kind} ring` }));
  }
  if (desk.crosshair) for (const kind of ["under", "over"]) marks.push(h("path", { d: `M${at[0] - 14} ${at[1]}h28M${at[0]} ${at[1] - 14}v28`, class: kind }));
  parts.marks.replaceChildren(...marks);
  parts.place.textContent = placeWords(desk, at);
}

function point([x, y], kind, { color, hot }) {
  if (kind === "inside" || kind === "outside") {
    const sign = kind === "inside" ? "M-4 0h8M0 -4v8" : "M-4 0h8";
    return h("g", { transform: `translate(${x} ${y})` }, h("circle", { r: hot ? 9 : 7, class: `click ${kind}` }), h("path", { d: sign, class: "sign" }));
  }
  return h("circle", { cx: x, cy: y, r: (kind === "first" ? 7 : 5) + (hot ? 2 : 0), class: "corner", style: { fill: color } });
}
