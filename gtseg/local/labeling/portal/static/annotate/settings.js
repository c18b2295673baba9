// @ts-check
// Sliders and switches: brush, label strength, and tone of the image.

import { h } from "./dom.js";
import { capsOf } from "./keys.js";
import { LIMITS } from "./tone.js";

/** A labeled range; parts[name] and parts[nameValue] are its input and its value in words. */
export function slider(parts, name, label, attributes, oninput) {
  parts[name] = h("input", { type: "range", id: `set-${name}`, ...attributes, oninput: () => oninput(Number(parts[name].value)) });
  parts[`${name}Value`] = h("output", { for: `set-${name}` });
  return h("div", { class: "slider" }, h("label", { for: `set-${name}` }, label), parts[`${name}Value`], parts[name]);
}

export function toggle(editor, parts, name, label = editor.actions.get(name).label) {
  parts[name] = h("input", { type: "checkbox", onchange: () => editor.do(name) });
  return h("label", { class: "toggle" }, parts[name], h("span", {}, label), ...editor.actions.get(name).keys.slice(0, 1).map((key) => h("span", { class: "caps" }, ...capsOf(key).map((cap) => h("kbd", {}, cap)))));
}

/** Controls of label strength and image tone. */
export function lookSettings(editor, parts, label) {
  const doubling = (/** @type {number[]} */ [low, high]) => ({ min: Math.log2(low), max: Math.log2(high), step: 0.05 });
  parts.neutral = h("button", { type: "button", class: "small", onclick: () => editor.do("neutralTone") }, editor.actions.get("neutralTone").label);
  return [
    slider(parts, "opacity", label, { min: 0, max: 100, step: 5 }, (v) => editor.look({ opacity: v / 100 })),
    h("details", { class: "tone" }, h("summary", {}, "Picture"),
      slider(parts, "brightness", "Brightness", { min: LIMITS.brightness[0], max: LIMITS.brightness[1], step: 0.02 }, (v) => editor.tone({ brightness: v })),
      slider(parts, "contrast", "Contrast", doubling(LIMITS.contrast), (v) => editor.tone({ contrast: 2 ** v })),
      slider(parts, "gamma", "Gamma", doubling(LIMITS.gamma), (v) => editor.tone({ gamma: 2 ** v })),
      parts.neutral),
    toggle(editor, parts, "autoTone"),
  ];
}

export function showLook(parts, view) {
  const show = (name, value, words) => {
    parts[name].value = value;
    parts[`${name}Value`].textContent = words;
    parts[name].setAttribute("aria-valuetext", words);
  };
  show("opacity", Math.round(view.opacity * 100), `${Math.round(view.opacity * 100)}%`);
  show("brightness", view.brightness, `${view.brightness > 0 ? "+" : view.brightness < 0 ? "−" : ""}${Math.round(Math.abs(view.brightness) * 100)}%`);
  show("contrast", Math.log2(view.contrast), `${Math.round(view.contrast * 100)}%`);
  show("gamma", Math.log2(view.gamma), view.gamma.toFixed(2));
  parts.visible.checked = view.shown;
  parts.autoTone.checked = view.auto;
  parts.neutral.disabled = !view.auto && view.brightness === 0 && view.contrast === 1 && view.gamma === 1;
}
