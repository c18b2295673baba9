// @ts-check
// Keyboard shortcuts. An editor has one table of actions (actions.js), used by the keyboard, the buttons' titles, the hints and the `?` sheet, so that
// they all show the same keys.

import { h, openDialog } from "./dom.js";

/**
 * @typedef {object} Action
 * @property {string} id
 * @property {string} label     text of its button
 * @property {string} group     its heading on the sheet
 * @property {string[]} [keys]  "B", "Shift V", "Ctrl Z", "Enter", "[", and "J then B" for two strokes; the first one is shown
 * @property {string} [about]   description on the sheet; default: the label
 * @property {string} [shown]   keys shown on the sheet instead of `keys` ("Arrows"); "" hides the action
 * @property {(editor: any) => unknown} [when]  whether it is available; a key of several actions runs the first available one
 * @property {boolean} [typing]  its keys also work in text fields
 * @property {(editor: any, event?: KeyboardEvent) => unknown} run
 * @property {(editor: any) => unknown} [release]  called when its key is released
 */

const NAMES = { Escape: "Esc", " ": "Space", Delete: "Del", ArrowLeft: "Left", ArrowRight: "Right", ArrowUp: "Up", ArrowDown: "Down", "−": "-" };
const OF_CONTROLS = new Set(["Enter", "Space", "Left", "Right", "Up", "Down"]); // used by focused buttons, sliders and choices
const TEXT = "textarea, select, input:not([type=range]):not([type=checkbox]):not([type=radio])";
const APPLE = /Mac|iPhone|iPad/.test(navigator.platform);
const PATIENCE = 2500; // milliseconds between the two strokes of a key

/** @param {KeyboardEvent} event  -> "Shift V"; "" for a modifier alone. Shift is part of "?" already. */
export function strokeOf(event) {
  let { key } = event;
  if (["Shift", "Control", "Alt", "Meta", "AltGraph", "CapsLock", "Dead"].includes(key)) return "";
  const letter = /^Key([A-Z])$/.exec(event.code ?? "");
  if (letter && key.length === 1 && (event.altKey || !/[ -~]/.test(key))) [, key] = letter; // other alphabets: the key's position
  const name = NAMES[key] ?? (key.length === 1 ? key.toUpperCase() : key);
  const plain = event.getModifierState?.("AltGraph"); // some keyboards type "[" with AltGr: not Ctrl and Alt
  const shift = event.shiftKey && (name.length > 1 || /[A-Z]/.test(name));
  return [!plain && (event.ctrlKey || event.metaKey) ? "Ctrl" : "", !plain && event.altKey ? "Alt" : "", shift ? "Shift" : "", name].filter(Boolean).join(" ");
}

/** "Ctrl Shift Z" -> ["Ctrl", "Shift", "Z"] as labeled on this computer's keyboard. */
export function capsOf(key) {
  return key.replaceAll(" then ", " ").split(" ").map((part) => (APPLE ? { Ctrl: "⌘", Alt: "⌥", Shift: "⇧" }[part] : null) ?? part);
}

export class Actions {
  /** @param {any} editor  @param {Action[]} list */
  constructor(editor, list) {
    this.editor = editor;
    this.list = list;
    this.byId = new Map(list.map((action) => [action.id, action]));
    this.first = ""; // of two strokes
    this.at = 0;
    /** @type {Map<string, Action[]>} */
    this.byKey = new Map();
    for (const action of list) for (const key of action.keys ?? []) this.byKey.set(key, [...(this.byKey.get(key) ?? []), action]);
    this.leaders = new Set([...this.byKey.keys()].filter((key) => key.includes(" then ")).map((key) => key.split(" then ")[0]));
    const twice = [...this.byKey].find(([key, actions]) => actions.slice(0, -1).some(({ when }) => !when) || this.leaders.has(key));
    if (twice) throw new Error(`the key ${twice[0]} is given twice: ${twice[1].map(({ id }) => id).join(", ")}`);
    if (this.byId.size < list.length) throw new Error("two actions have one id");
  }

  /** @returns {Action} */
  get(id) {
    const action = this.byId.get(id);
    if (!action) throw new Error(`there is no action ${id}`);
    return action;
  }

  /** Whether the action is available. */
  can(id) {
    const { when } = this.get(id);
    return !when || Boolean(when(this.editor));
  }

  /** Run the action if it is available. */
  run(id, event) {
    if (this.can(id)) this.get(id).run(this.editor, event);
  }

  /** The action that a key runs now. -> Action or undefined */
  resolve(key) {
    return this.byKey.get(key)?.find(({ id }) => this.can(id));
  }

  /** The key that runs the action now, as text; "" if none. */
  keyOf(id) {
    const found = this.get(id).keys?.find((key) => this.resolve(key)?.id === id);
    return found ? capsOf(found).join(" ") : "";
  }

  /** A button's title: label and first key. */
  title(id) {
    const { label, keys, shown } = this.get(id);
    const key = shown ?? keys?.[0];
    return key ? `${label} (${capsOf(key).join(" ")})` : label;
  }

  /** `aria-keyshortcuts` of the action; null if none, or for two strokes, which the attribute does not support. */
  shortcut(id) {
    const key = this.get(id).keys?.[0];
    return !key || key.includes(" then ") ? null : key.replaceAll("Ctrl", "Control").replaceAll(" ", "+");
  }

  // ---- the keyboard ----

  /** Handle keys of the whole page until `signal` is aborted. @param {AbortSignal} signal */
  listen(signal) {
    document.addEventListener("keydown", (event) => this.down(event), { signal });
    document.addEventListener("keyup", (event) => this.up(event), { signal });
    window.addEventListener("blur", () => this.releaseKey(), { signal });
  }

  /** @param {KeyboardEvent} event */
  down(event) {
    const { editor } = this;
    if (!editor.ready || event.isComposing || document.querySelector("dialog[open]") || editor.closest("[inert]")) return;
    const action = this.find(event);
    if (!action) return;
    event.preventDefault();
    if (action.release) this.held = action;
    action.run(editor, event);
    editor.refresh();
  }

  /** The action of a keydown, or null. Remembers the first of two strokes. */
  find(event) {
    const stroke = strokeOf(event);
    if (!stroke) return null;
    const focused = /** @type {Element} */ (event.target);
    // the button that closed a dialog keeps the focus until the next frame
    const target = focused.closest?.("dialog:not([open])") ? document.body : focused;
    const writes = target.matches?.(TEXT);
    const control = !writes && target.matches?.("button, a, input, label, summary, [role=button]");
    if (control && OF_CONTROLS.has(stroke.split(" ").pop() ?? "") && !stroke.startsWith("Ctrl")) return null;
    const second = this.first && performance.now() - this.at < PATIENCE ? this.resolve(`${this.first} then ${stroke}`) : null;
    const leads = !second && !writes && this.leaders.has(stroke);
    if (leads) {
      event.preventDefault();
      this.editor.showMessage?.(`${capsOf(stroke).join(" ")}, then the second key, shown beside the label.`);
    } else if (this.first) this.editor.showMessage?.("");
    this.first = leads ? stroke : "";
    this.at = performance.now();
    const found = second || (leads ? null : this.resolve(stroke));
    return found && (!writes || found.typing) ? found : null;
  }

  /** @param {KeyboardEvent} event */
  up(event) {
    const last = (/** @type {string} */ stroke) => stroke.split(" ").pop();
    if (this.held?.keys?.some((key) => last(key) === last(strokeOf(event)))) this.releaseKey();
  }
  releaseKey() {
    this.held?.release?.(this.editor);
    this.held = undefined;
  }

  // ---- texts ----

  /** Words for hints, as in `Close with ${key("commit")}`; on touch screens, the button's label instead of the key. */
  words() {
    const { touch } = this.editor;
    return {
      touch,
      click: touch ? "tap" : "click",
      Click: touch ? "Tap" : "Click",
      /** @param {string} id */
      key: (id) => (touch ? "" : this.keyOf(id)) || this.get(id).label,
    };
  }

  /** The `?` sheet. */
  showSheet() {
    if (document.querySelector("dialog[data-sheet]")) return;
    const rows = this.list.filter((action) => action.shown !== "" && (action.shown || action.keys?.length));
    const groups = [...new Set(rows.map(({ group }) => group))];
    const row = (/** @type {Action} */ { keys = [], shown, label, about }) => [
      h("dt", {}, ...(shown ? [shown] : keys.slice(0, 2)).flatMap((key, i) => [...(i ? [h("span", { class: "or" }, "or")] : []), ...capsOf(key).map((cap) => (cap === "…" ? "…" : h("kbd", {}, cap)))])),
      h("dd", {}, about ?? label)];
    const block = (group) => h("section", {}, h("h3", {}, group), h("dl", {}, ...rows.filter((action) => action.group === group).flatMap(row)));
    openDialog("Keys", h("div", { class: "keys" }, ...groups.map(block))).dataset.sheet = "";
  }
}
