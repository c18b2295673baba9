// @ts-check
// Helpers for DOM elements, icons and dialogs.

/** h("button", {class: "x", onclick, "aria-label": "…"}, "text", child) -> element */
export function h(tag, attributes = {}, ...children) {
  const element = tag === "svg" || h.svg.has(tag) ? document.createElementNS("http://www.w3.org/2000/svg", tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "style") Object.assign(element.style, value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}
h.svg = new Set(["path", "circle", "rect", "line", "polyline", "g"]);

const PATHS = {
  auto: "M12 2v4M12 18v4M2 12h4M18 12h4M8 9c1.5-2 6-2.5 8 0s1.5 5-.5 6.5-6 1.5-7.5-.5-1.5-4 0-6z",
  brush: "M20 3c-4 1-9 6-10.5 9.5l2.5 2.5C15.5 13.5 20 8 20 3zM8.5 14c-2 0-3 1.300-3 3 0 1.600-1 2.700-2.5 3 3.5 1.200 8 .5 8-3.5z",
  eraser: "M4 15.5 13.5 6a2 2 0 0 1 2.800 0l3.700 3.700a2 2 0 0 1 0 2.800L13 19.5H8zM9 10.5l6.5 6.5M8 19.5h12",
  polygon: "M12 3 21 9.5 17.5 20h-11L3 9.5z",
  scissors: "M6 3.5a2.500 2.500 0 1 1 0 5 2.500 2.500 0 0 1 0-5zM6 15.5a2.500 2.500 0 1 1 0 5 2.500 2.500 0 0 1 0-5zM8 7.5 20 18M8 16.5 20 6",
  region: "M12 7.5c3 0 4.500 1.500 4.500 4.300s-1.500 4.700-4.500 4.700-4.500-1.900-4.500-4.700S9 7.5 12 7.5zM12 2.5v2.500M12 19v2.500M2.5 12H5M19 12h2.500M5.500 5.500l1.500 1.500M17 17l1.500 1.500M18.500 5.500 17 7M7 17l-1.500 1.500",
  fill: "M11 3 4 10a2 2 0 0 0 0 2.800l5.200 5.200a2 2 0 0 0 2.800 0l7-7L10.5 2.5M4 12h14.5M20.5 15c1 1.5 1.5 2.300 1.5 3.200a1.5 1.5 0 0 1-3 0c0-.9.5-1.700 1.5-3.200z",
  box: "M3 7V4a1 1 0 0 1 1-1h3M17 3h3a1 1 0 0 1 1 1v3M21 17v3a1 1 0 0 1-1 1h-3M7 21H4a1 1 0 0 1-1-1v-3M9 9l6 6M15 9l-6 6",
  pan: "M8 12V5.5a1.5 1.5 0 0 1 3 0V11m0-6.5a1.5 1.5 0 0 1 3 0V11m0-4.5a1.5 1.5 0 0 1 3 0V12m0-2a1.5 1.5 0 0 1 3 0v4.5c0 4-2.5 6.5-6 6.5s-5-1.5-6.5-4L5 13.5c-.8-1.5 1-2.5 2-1.300L8 13.5",
  undo: "M8 5 4 9l4 4M4 9h10a6 6 0 0 1 0 12H9",
  redo: "m16 5 4 4-4 4M20 9H10a6 6 0 0 0 0 12h5",
  zoomIn: "M10.5 4a6.5 6.5 0 1 1 0 13 6.5 6.5 0 0 1 0-13zM15.5 15.5 21 21M7.5 10.5h6M10.5 7.5v6",
  zoomOut: "M10.5 4a6.5 6.5 0 1 1 0 13 6.5 6.5 0 0 1 0-13zM15.5 15.5 21 21M7.5 10.5h6",
  visible: "M2.5 12c2.200-4.200 5.500-6.500 9.500-6.500s7.300 2.300 9.500 6.500c-2.200 4.200-5.500 6.500-9.500 6.500S4.700 16.200 2.500 12zM12 9a3 3 0 1 1 0 6 3 3 0 0 1 0-6z",
  hideLabel: "M4 4l16 16M9.500 5.800A9.800 9.800 0 0 1 12 5.500c4 0 7.300 2.300 9.500 6.500a15 15 0 0 1-3 3.900M6.500 7.700A14 14 0 0 0 2.500 12c2.200 4.200 5.500 6.500 9.500 6.500a9.500 9.500 0 0 0 4-.9",
  onlyLabel: "M12 7a5 5 0 1 1 0 10 5 5 0 0 1 0-10zM12 2v3M12 19v3M2 12h3M19 12h3",
  lockLabel: "M6 11h12v9H6zM8.500 11V7.500a3.500 3.500 0 0 1 7 0V11",
  more: "M4 7h10M18 7h2M4 17h2M10 17h10M16 4.500v5M8 14.500v5",
  fit: "M4 9V4h5M15 4h5v5M20 15v5h-5M9 20H4v-5",
};

export function icon(name) {
  return h("svg", { viewBox: "0 0 24 24", class: "icon", "aria-hidden": "true" }, h("path", { d: PATHS[name] }));
}

/** Open a modal <dialog> with a close button; closing restores the focus. -> the dialog */
export function openDialog(title, ...body) {
  const heading = h("h2", { id: `title-${Date.now()}` }, title);
  const dialog = h("dialog", { "aria-labelledby": heading.id, class: "sheet" },
    h("header", {}, heading, h("button", { class: "quiet", "aria-label": "Close", onclick: () => dialog.close() }, "✕")),
    h("div", { class: "body", tabindex: "0" }, ...body));
  dialog.addEventListener("close", () => dialog.remove());
  dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
  document.body.append(dialog);
  dialog.showModal();
  return dialog;
}
