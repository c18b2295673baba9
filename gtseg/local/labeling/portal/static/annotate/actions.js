// @ts-check
// The actions of both editors with their keys. Keyboard, buttons' titles, hints and the `?` sheet use this table (see keys.js).

import { LIMITS } from "./tone.js";

/** @typedef {import("./keys.js").Action} Action */

const LEADERS = ["J", "Y", "'", "\\"]; // first of two key strokes, for labels beyond the tenth
const SECOND = [..."ABCDEFGHIJKLMNOPQRSTUVWXYZ1234567890", ...[..."ABCDEFGHIJKLMNOPQRSTUVWXYZ"].map((letter) => `Shift ${letter}`)];

/** The key of label n (from 1): 1 to 9 and 0, then two strokes. -> "" beyond the available keys */
export function labelKey(n) {
  if (n <= 10) return String(n % 10);
  const leader = LEADERS[Math.floor((n - 11) / SECOND.length)];
  return leader ? `${leader} then ${SECOND[(n - 11) % SECOND.length]}` : "";
}

/** @param {string[]} labels  @returns {Action[]} */
function labelActions(labels) {
  const shown = (i) => ({ 0: labels.length > 1 ? `1 … ${Math.min(labels.length, 10) % 10}` : "1", 10: "J A …" })[i] ?? "";
  const about = (i) => ({ 0: "Choose the label", 10: "Choose a label beyond the tenth by the two keys beside it" })[i];
  return labels.map((label, i) => ({ id: `label${i + 1}`, label, group: "Labels", keys: [labelKey(i + 1)].filter(Boolean), shown: shown(i), about: about(i), run: (editor) => editor.pick(i + 1) }));
}

const TOOLS = "Tools";
const OBJECT = "The open object";
const SUGGESTED = "Suggestions of a model";
const STEPS = "Steps";
const VIEW = "View";
const TASK = "Task";

/** A tool: its name is the id. */
const tool = (id, key, label, about) => ({ id, label, group: TOOLS, keys: [key], about, run: (editor) => editor.choose(id) });
/** Whether the tool has an unfinished stroke, polygon or object. */
const isSuggested = (editor) => Boolean(editor.suggestion?.any);
const isOpen = (editor) => editor.active.isOpen ?? Boolean(editor.active.open || editor.active.shape);
/** An option of a tool, shown beside the hint while the tool is selected. */
const option = (id, label, of, run, about = label, keys = []) => ({ id, label, group: TOOLS, keys, about, shown: keys[0] ?? "", when: (editor) => editor.tool === of, run });
const middle = (editor) => editor.pointed ?? [editor.view.stage.clientWidth / 2, editor.view.stage.clientHeight / 2];

/** Dispatch an event to the page. */
const dispatch = (editor, event) => editor.dispatchEvent(new CustomEvent(event, { bubbles: true }));

/** Actions of all editors: view, instructions, key sheet, submit. @type {Action[]} */
const SHARED = [
  { id: "zoomIn", label: "Zoom in", group: VIEW, keys: ["+", "="], shown: "+", about: "Closer (also the wheel, two fingers)", run: (editor) => editor.view.zoomAt(...middle(editor), 1.4) },
  { id: "zoomOut", label: "Zoom out", group: VIEW, keys: ["-", "_"], shown: "-", about: "Farther", run: (editor) => editor.view.zoomAt(...middle(editor), 1 / 1.4) },
  { id: "fit", label: "Whole image", group: VIEW, keys: ["R"], run: (editor) => editor.view.fit() },
  { id: "visible", label: "Show labels", group: VIEW, keys: ["V"], about: "Show or hide the labels", run: (editor) => editor.look({ shown: !editor.view.shown }) },
  { id: "fainter", label: "Labels fainter", group: VIEW, keys: ["Q"], about: "Labels fainter, down to outlines only", run: (editor) => editor.look({ opacity: Math.max(0, editor.view.opacity - 0.1) }) },
  { id: "stronger", label: "Labels stronger", group: VIEW, keys: ["W"], run: (editor) => editor.look({ opacity: Math.min(1, editor.view.opacity + 0.1) }) },
  { id: "autoTone", label: "Auto tone", group: VIEW, keys: ["T"], about: "Auto tone: make dark and overexposed images readable", run: (editor) => editor.autoTone(!editor.view.auto) },
  { id: "lessContrast", label: "Less contrast", group: VIEW, keys: ["K"], run: (editor) => editor.tone({ contrast: Math.max(LIMITS.contrast[0], editor.view.contrast / 1.2) }) },
  { id: "moreContrast", label: "More contrast", group: VIEW, keys: ["L"], run: (editor) => editor.tone({ contrast: Math.min(LIMITS.contrast[1], editor.view.contrast * 1.2) }) },
  { id: "darker", label: "Darker", group: VIEW, keys: ["Shift K"], run: (editor) => editor.tone({ gamma: Math.max(LIMITS.gamma[0], editor.view.gamma / 1.2) }) },
  { id: "brighter", label: "Brighter", group: VIEW, keys: ["Shift L"], run: (editor) => editor.tone({ gamma: Math.min(LIMITS.gamma[1], editor.view.gamma * 1.2) }) },
  { id: "neutralTone", label: "Original", group: VIEW, keys: ["Shift T"], about: "The original image", run: (editor) => editor.autoTone(false) },
  { id: "instructions", label: "Instructions", group: TASK, keys: ["I"], about: "Full instructions", run: (editor) => editor.showInstructions() },
  { id: "ask", label: "Ask the owner", group: TASK, keys: ["Shift M"], about: "Ask the owner about a place in the image", run: (editor) => dispatch(editor, "ask-wanted") },
  { id: "skip", label: "Skip", group: TASK, keys: ["Shift N"], about: "Skip the image; it is offered again last", run: (editor) => dispatch(editor, "skip-wanted") },
  { id: "previous", label: "Back", group: TASK, keys: ["Shift B"], about: "Reopen your last submitted answer", run: (editor) => dispatch(editor, "previous-wanted") },
  { id: "sheet", label: "Keys", group: TASK, keys: ["?"], about: "This sheet", run: (editor) => editor.showSheet() },
  { id: "submit", label: "Submit", group: TASK, keys: ["Ctrl Enter"], typing: true, run: (editor) => dispatch(editor, "submit-wanted") },
];

const ARROWS = ["Left", "Right", "Up", "Down"];

/** Actions for drawing masks. @param {string[]} labels  @returns {Action[]} */
export function drawingActions(labels) {
  return [
    tool("auto", "A", "Auto-segment", "Auto-segment: a click, a box or four outermost points"),
    tool("brush", "B", "Brush"),
    tool("eraser", "E", "Eraser"),
    tool("polygon", "P", "Polygon"),
    tool("scissors", "Shift P", "Scissors", "Scissors: an outline that follows the photograph's edges"),
    tool("fill", "F", "Fill", "Fill an area"),
    tool("region", "G", "Region", "Grow, shrink, smooth a region, fill its holes, remove specks"),
    tool("box", "X", "Box erase", "Erase in a box (Alt: only the chosen label)"),
    tool("pan", "H", "Move", "Move the image"),
    { id: "hold", label: "Move while held", group: TOOLS, keys: ["Space"], about: "Held: dragging moves the image", run: (editor) => editor.holdImage(true), release: (editor) => editor.holdImage(false) },
    option("auto-click", "Click or box", "auto", (editor) => editor.tools.auto.startWith(false)),
    option("auto-points", "Four points", "auto", (editor) => editor.tools.auto.startWith(true)),
    option("auto-adds", "Add", "auto", (editor) => (editor.tools.auto.removes = false)),
    option("auto-removes", "Remove", "auto", (editor) => (editor.tools.auto.removes = true)),
    option("polygon-add", "Add", "polygon", (editor) => editor.tools.polygon.subtract(false)),
    option("polygon-subtract", "Subtract", "polygon", (editor) => editor.tools.polygon.subtract(true)),
    option("scissors-add", "Add", "scissors", (editor) => editor.tools.scissors.subtract(false)),
    option("scissors-subtract", "Subtract", "scissors", (editor) => editor.tools.scissors.subtract(true)),
    { id: "other", label: "Next option", group: TOOLS, keys: ["M"], about: "The tool's next option beside the hint", when: (editor) => editor.active.options.length > 1, run: (editor) => editor.nextOption() },
    ...["Grow", "Shrink", "Smooth", "Fill holes", "Remove specks"].map((label, i) => {
      const name = ["grow", "shrink", "smooth", "holes", "specks"][i];
      return option(`region-${name}`, label, "region", (editor) => (editor.tools.region.work = name));
    }),
    option("region-less", "Less", "region", (editor) => editor.tools.region.resize(1 / 2)),
    option("region-more", "More", "region", (editor) => editor.tools.region.resize(2)),
    { id: "smaller", label: "Smaller brush", group: TOOLS, keys: ["["], about: "Smaller brush (also Alt and the wheel), or a smaller change of a region", run: (editor) => editor.resizeBrush(1 / 1.25) },
    { id: "larger", label: "Larger brush", group: TOOLS, keys: ["]"], run: (editor) => editor.resizeBrush(1.25) },
    { id: "protect", label: "Paint only unlabeled", group: TOOLS, keys: ["O"], about: "Paint only where nothing is labeled", run: (editor) => (editor.protect = !editor.protect) },

    { id: "press", label: "Press at the crosshair", group: "Without a mouse (image focused)", keys: ["Enter"], about: "Press at the crosshair: set a point, start or end a stroke or box", when: (editor) => editor.crosshair, run: (editor) => editor.pressAtCrosshair() },
    { id: "crosshair", label: "Move the crosshair", group: "Without a mouse (image focused)", keys: [...ARROWS, ...ARROWS.map((key) => `Shift ${key}`)], shown: "Arrows", about: "Move the crosshair (Shift: farther)", run: (editor, event) => editor.moveCrosshair(event) },
    { id: "commit", label: "Done", group: OBJECT, keys: ["Enter", "C"], about: "Done: close the polygon, finish the object", when: isOpen, run: (editor) => editor.active.commit() },
    { id: "back", label: "Remove point", group: OBJECT, keys: ["Backspace", "Del"], about: "Remove the last point", when: isOpen, run: (editor) => editor.active.back() },
    { id: "cancel", label: "Cancel", group: OBJECT, keys: ["Esc"], about: "Cancel the open object", when: isOpen, run: (editor) => editor.active.cancel() },

    { id: "takeSuggested", label: "Take suggestion", group: SUGGESTED, keys: ["S"], about: "Take the suggested object under the pointer, else the largest", when: isSuggested, run: (editor) => editor.suggestion.take(editor.pointed) },
    { id: "takeAllSuggested", label: "Take all", group: SUGGESTED, keys: ["Shift Enter"], about: "Take every suggested object", when: isSuggested, run: (editor) => editor.suggestion.takeAll() },
    { id: "clearSuggested", label: "Clear suggestions", group: SUGGESTED, keys: ["D"], about: "Clear all suggestions", when: isSuggested, run: (editor) => editor.suggestion.clear() },

    ...labelActions(labels),
    { id: "findLabel", label: "Find a label", group: "Labels", keys: ["/"], about: "Find a label by its name", run: (editor) => editor.findLabel() },
    { id: "hideLabel", label: "Hide the label", group: "Labels", keys: ["Shift H"], about: "Hide the chosen label (its pixels stay as they are)", run: (editor) => editor.changeStates((states) => states.hide(editor.label)) },
    { id: "onlyLabel", label: "Show only this label", group: "Labels", keys: ["Shift S"], about: "Show only the chosen label, or all again", run: (editor) => editor.changeStates((states) => states.showOnly(editor.label)) },
    { id: "showAllLabels", label: "Show every label", group: "Labels", keys: ["Shift A"], run: (editor) => editor.changeStates((states) => states.showAll()) },
    { id: "lockLabel", label: "Lock the label", group: "Labels", keys: ["Shift D"], about: "Lock the chosen label: no tool changes its pixels", run: (editor) => editor.changeStates((states) => states.lock(editor.label)) },
    { id: "previousLabel", label: "Label before", group: "Labels", keys: [","], run: (editor) => editor.pick(((editor.label - 2 + labels.length) % labels.length) + 1) },
    { id: "nextLabel", label: "Label after", group: "Labels", keys: ["."], run: (editor) => editor.pick((editor.label % labels.length) + 1) },

    { id: "undo", label: "Undo", group: STEPS, keys: ["Ctrl Z"], run: (editor) => editor.step("undo") },
    { id: "redo", label: "Redo", group: STEPS, keys: ["Ctrl Shift Z", "Ctrl Y"], run: (editor) => editor.step("redo") },
    ...SHARED.slice(0, 4),
    { id: "blanks", label: "Show unlabeled", group: VIEW, keys: ["U"], about: "Show unlabeled areas", run: (editor) => editor.look({ blanks: !editor.view.blanks }) },
    ...SHARED.slice(4),
  ];
}

/** Actions for judging masks. @param {string[]} categories  @returns {Action[]} */
export function verdictActions(categories) {
  return [
    ...categories.map((category, i) => ({
      id: `verdict${i + 1}`, label: category, group: "Verdict", keys: i < 9 ? [String(i + 1)] : [], shown: i ? "" : `1 … ${Math.min(categories.length, 9)}`, about: "Choose the verdict", run: (editor) => editor.choose(category),
    })),
    { id: "comment", label: "Comment", group: "Verdict", keys: ["N"], about: "Write the comment", run: (editor) => editor.parts.comment.focus() },
    { id: "leaveComment", label: "Back to the image", group: "Verdict", keys: ["Esc"], about: "Back from the comment to the image", typing: true, run: (editor) => editor.parts.stage.focus({ preventScroll: true }) },
    { id: "move", label: "Move the image", group: VIEW, keys: ARROWS, shown: "Arrows", about: "Move the image (also drag it)", run: (editor, event) => editor.moveImage(event) },
    ...SHARED.map((action) => ({ ...action, about: MASK_WORDS[action.id] ?? action.about })),
  ];
}
const MASK_WORDS = { visible: "Show or hide the mask", fainter: "Mask fainter, down to its outline only", stronger: "Mask stronger" };
