// Every action and its key: one table drives the keyboard, the buttons' titles and the `?` sheet.

export const KEYS = [
  ["Tools", [
    ["a", "auto", "Auto-segment: four outermost points"],
    ["b", "brush", "Brush"],
    ["e", "eraser", "Eraser"],
    ["p", "polygon", "Polygon"],
    ["f", "fill", "Fill an area"],
    ["x", "box", "Erase in a box (Alt: only the chosen label)"],
    ["h", "pan", "Move the image (or hold Space and drag)"],
    ["[", "smaller", "Smaller brush (also Alt and the wheel)"],
    ["]", "larger", "Larger brush"],
    ["o", "protect", "Paint only where nothing is labeled"],
  ]],
  ["Labels", [
    ["1 … 0", null, "Choose the label"],
    [",", "previousLabel", "Label before"],
    [".", "nextLabel", "Label after"],
  ]],
  ["Steps", [
    ["Ctrl Z", null, "Undo"],
    ["Ctrl Shift Z", null, "Redo"],
    ["Enter", null, "Close the polygon, finish the object; press at the crosshair"],
    ["c", "commit", "Close the polygon, finish the object"],
    ["Backspace", null, "Take the last point back"],
    ["Esc", null, "Give up what is open"],
  ]],
  ["View", [
    ["+", "zoomIn", "Closer (also the wheel, two fingers)"],
    ["-", "zoomOut", "Farther"],
    ["r", "fit", "Whole image"],
    ["v", "visible", "Show or hide the labels"],
    ["u", "blanks", "Show what is unlabeled"],
    ["q", "fainter", "Labels fainter"],
    ["w", "stronger", "Labels stronger"],
    ["k", "lessContrast", "Less contrast"],
    ["l", "moreContrast", "More contrast"],
  ]],
  ["Without a mouse (image focused)", [
    ["Arrows", null, "Move the crosshair (Shift: farther)"],
    ["Enter", null, "Press: set a point, start or end a stroke or box"],
  ]],
  ["Task", [
    ["Ctrl Enter", null, "Submit"],
    ["i", "instructions", "Full instructions"],
    ["?", "sheet", "This sheet"],
  ]],
];

const BY_KEY = new Map(KEYS.flatMap(([, rows]) => rows.filter(([, action]) => action).map(([key, action]) => [key, action])));
BY_KEY.set("=", "zoomIn").set("_", "zoomOut");

const KEY_OF = new Map(KEYS.flatMap(([, rows]) => rows.filter(([, action]) => action).map(([key, action]) => [action, key])));

export function keyOf(action) {
  return KEY_OF.get(action);
}

/** A keydown event -> {action} or {label: n} or null. */
export function actionOf(event) {
  const command = event.ctrlKey || event.metaKey;
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  if (command) {
    if (key === "z") return { action: event.shiftKey ? "redo" : "undo" };
    if (key === "y") return { action: "redo" };
    if (key === "Enter") return { action: "submit" };
    return null;
  }
  if (event.altKey && key !== "Alt") return null;
  if (/^[0-9]$/.test(key)) return { label: key === "0" ? 10 : Number(key) };
  if (key === "Escape") return { action: "cancel" };
  if (key === "Backspace" || key === "Delete") return { action: "back" };
  if (key === "Enter") return { action: "enter" };
  return BY_KEY.has(key) ? { action: BY_KEY.get(key) } : null;
}

/** What every desk does alike: how the image is looked at, the instructions, the sheet of keys, the end. */
export function sharedActions(desk) {
  const { view } = desk;
  const middle = () => desk.pointed ?? [view.stage.clientWidth / 2, view.stage.clientHeight / 2];
  return {
    zoomIn: () => view.zoomAt(...middle(), 1.4),
    zoomOut: () => view.zoomAt(...middle(), 1 / 1.4),
    fit: () => view.fit(),
    visible: () => desk.look({ shown: !view.shown }),
    fainter: () => desk.look({ opacity: Math.max(0, view.opacity - 0.1) }),
    stronger: () => desk.look({ opacity: Math.min(1, view.opacity + 0.1) }),
    lessContrast: () => desk.look({ contrast: Math.max(0.4, view.contrast - 0.15) }),
    moreContrast: () => desk.look({ contrast: Math.min(3, view.contrast + 0.15) }),
    instructions: () => desk.showInstructions(),
    sheet: () => desk.showSheet(),
    submit: () => desk.dispatchEvent(new CustomEvent("submit-wanted", { bubbles: true })),
  };
}
