// @ts-check
// The list of labels: choosing, finding, hiding and locking.

import { labelKey } from "./actions.js";
import { h, icon } from "./dom.js";
import { capsOf } from "./keys.js";

const SEARCHED = 9; // number of labels up to which the search field is hidden

/** Hidden and locked labels (1 to 255). No tool changes pixels of either. */
export class LabelStates {
  /** @param {string[]} labels */
  constructor(labels) {
    this.labels = labels;
    this.hidden = new Uint8Array(256);
    this.locked = new Uint8Array(256);
  }

  /** Whether label n alone is shown. */
  isOnly(n) {
    return this.labels.length > 1 && this.labels.every((_, i) => Boolean(this.hidden[i + 1]) === (i + 1 !== n));
  }
  hide(n) {
    this.hidden[n] = Number(!this.hidden[n]);
  }
  /** Show only label n; if it is the only one already, show all. */
  showOnly(n) {
    const only = this.isOnly(n);
    this.labels.forEach((_, i) => (this.hidden[i + 1] = Number(!only && i + 1 !== n)));
  }
  showAll() {
    this.hidden.fill(0);
  }
  lock(n) {
    this.locked[n] = Number(!this.locked[n]);
  }

  /** 1 for labels whose pixels no tool may change. */
  get protected() {
    return this.hidden.map((hidden, n) => hidden | this.locked[n]);
  }
  /** Message why label n cannot be painted; "" if it can. */
  refusal(n) {
    const name = this.labels[n - 1];
    if (this.locked[n]) return `“${name}” is locked: unlock it to change it.`;
    return this.hidden[n] ? `“${name}” is hidden: show it to change it.` : "";
  }

  /** The states by label name, for the next image. */
  save() {
    const named = (marks) => this.labels.filter((_, i) => marks[i + 1]);
    return { hidden: named(this.hidden), locked: named(this.locked) };
  }
  restore({ hidden = [], locked = [] }) {
    this.labels.forEach((label, i) => {
      this.hidden[i + 1] = Number(hidden.includes(label));
      this.locked[i + 1] = Number(locked.includes(label));
    });
  }
}

/** The list as a section; `refresh()` updates it. */
export function labelList(editor) {
  const rows = editor.labels.map((label, i) => labelRow(editor, label, i + 1));
  const list = h("div", { class: "list" }, ...rows.map(({ row }) => row));
  const search = h("input", { type: "search", class: "find", placeholder: "Find a label", "aria-label": "Find a label", autocomplete: "off", spellcheck: "false", hidden: editor.labels.length <= SEARCHED,
    title: editor.actions.title("findLabel"), oninput: () => filter(), onkeydown: (event) => typed(event) });
  const none = h("p", { class: "faint none", hidden: true }, "No label name contains this.");
  const blank = h("button", { type: "button", class: "label blank", "aria-pressed": "false", title: editor.actions.title("blanks"), onclick: () => editor.do("blanks") },
    h("i", { class: "swatch hatch" }), h("span", { class: "name" }, "Unlabeled"), h("span", { class: "share" }));
  const section = h("section", { class: "labels", role: "group", "aria-label": "Labels" }, h("h2", {}, "Labels"), search, none, list, blank);
  let chosen = 0;

  const found = () => rows.filter(({ row }) => !row.hidden);
  function filter() {
    const words = search.value.trim().toLocaleLowerCase().split(/\s+/);
    rows.forEach(({ row }, i) => (row.hidden = !words.every((word) => editor.labels[i].toLocaleLowerCase().includes(word))));
    none.hidden = found().length > 0;
  }
  function leave() {
    search.value = "";
    filter();
    editor.panel.stage.focus({ preventScroll: true });
  }
  /** Enter chooses the first label found; Esc leaves the search. */
  function typed(event) {
    if (event.key === "Escape") leave();
    if (event.key !== "Enter" || event.ctrlKey || event.metaKey || event.isComposing) return;
    const [first] = found();
    if (first && search.value.trim()) editor.pick(first.n);
    leave();
  }

  return {
    section,
    blank,
    find: () => {
      search.hidden = false;
      search.focus();
      search.select();
    },
    refresh: () => {
      for (const each of rows) each.refresh();
      if (chosen === editor.label) return;
      chosen = editor.label;
      rows[chosen - 1].row.scrollIntoView({ block: "nearest", inline: "nearest" });
    },
  };
}

function labelRow(editor, label, n) {
  const toggle = (name, words, run) => h("button", { type: "button", class: "mark", "aria-pressed": "false", "aria-label": `${words}: ${label}`, title: `${words} (chosen label: ${capsOf(editor.actions.get(name).keys[0]).join(" ")})`, onclick: () => run() }, icon(name));
  const hide = toggle("hideLabel", "Hide", () => editor.changeStates((states) => states.hide(n)));
  const only = toggle("onlyLabel", "Show only this", () => editor.changeStates((states) => states.showOnly(n)));
  const lock = toggle("lockLabel", "Lock", () => editor.changeStates((states) => states.lock(n)));
  const share = h("span", { class: "share" });
  const choose = h("button", { type: "button", class: "label", "aria-pressed": "false", "aria-keyshortcuts": editor.actions.shortcut(`label${n}`), title: label, onclick: () => editor.pick(n) },
    h("i", { class: "swatch", style: { background: editor.shownColors[n - 1] } }), h("span", { class: "name" }, label), share, h("span", { class: "caps" }, ...capsOf(labelKey(n)).map((cap) => h("kbd", {}, cap))));
  const row = h("div", { class: "row" }, choose, h("span", { class: "marks-of" }, hide, only, lock));
  const press = (button, on) => button.setAttribute("aria-pressed", String(Boolean(on)));
  return {
    row,
    n,
    refresh: () => {
      const { map, states } = editor;
      press(choose, n === editor.label);
      press(hide, states.hidden[n]);
      press(only, states.isOnly(n));
      press(lock, states.locked[n]);
      row.classList.toggle("hidden-label", Boolean(states.hidden[n]));
      if (map) share.textContent = percent(map.counts[n] / map.data.length);
    },
  };
}

export function percent(share) {
  if (share > 0 && share < 0.001) return "<0.1%";
  return `${(share * 100).toFixed(share > 0.1 && share < 1 ? 0 : share === 0 || share === 1 ? 0 : 1)}%`;
}
