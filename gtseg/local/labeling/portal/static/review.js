// The owner's review: one object at a time, masks selected by number keys, one key per verdict.

import { post } from "./api.js";
import { h, openDialog } from "./annotate/dom.js";

const KEYS = [["G", "good"], ["B", "bad"], ["S", "send back with the comment"], ["C", "write a comment"], ["← →", "the object before, the next"], ["1 … 9", "which mask"]];

/** URL of an image or mask of an object; `version` changes with its content. */
export function addressOf(path, object, what, version) {
  return `/_portal/api/${path}/objects/${object.line}/${encodeURIComponent(what)}${version ? `?v=${version}` : ""}`;
}

/** A button with the image, a mask over it and a caption, which opens the review. */
export function layered(path, object, mask, words, onclick, version = null) {
  const pictures = [h("img", { src: addressOf(path, object, "image"), alt: "", loading: "lazy" })];
  if (mask) pictures.push(h("img", { src: addressOf(path, object, mask, version ?? object.version), alt: "", loading: "lazy", class: ["mask", "prior"].includes(mask) ? "index" : "" }));
  return h("figure", {}, h("button", { type: "button", class: "layered", "aria-label": `${words}: look closely`, onclick }, ...pictures), h("figcaption", {}, words));
}

/** source: {path, index, mask, masks(object), verdicts(object), job(), shown(), canReturn(), more(by), changed()} */
export function openReview(source) {
  let { index } = source;
  let busy = false;
  const over = h("img", { alt: "" });
  const image = h("img", { alt: "The image" });
  const frame = h("div", { class: "frame" }, image, over);
  image.addEventListener("load", () => frame.style.setProperty("--ratio", image.naturalWidth / image.naturalHeight)); // of the displayed orientation
  const strength = h("input", { type: "range", min: "0", max: "100", value: "60", "aria-label": "Mask strength", oninput: () => (over.style.opacity = strength.value / 100) });
  over.style.opacity = 0.6;
  const choices = h("div", { class: "bottom" });
  const facts = h("div", {});
  const comment = h("textarea", { rows: "2", maxlength: "1000", id: "review-comment" });
  const said = h("p", { class: "faint", role: "status" });
  const verdictButtons = Object.fromEntries(["good", "bad"].map((verdict) => [verdict, h("button", { type: "button", "aria-pressed": "false", onclick: () => judge(verdict) }, verdict === "good" ? "Good" : "Bad", h("kbd", {}, verdict === "good" ? "G" : "B"))]));
  const back = h("button", { type: "button", onclick: () => sendBack() }, "Send back", h("kbd", {}, "S"));
  const panel = h("div", { class: "review" }, facts,
    h("label", { for: "review-comment" }, "Comment"), comment, said,
    h("div", { class: "row" }, verdictButtons.good, verdictButtons.bad, back, h("span", { class: "fill" }),
      h("button", { type: "button", onclick: () => go(-1), "aria-label": "The object before" }, "←"), h("button", { type: "button", onclick: () => go(1), "aria-label": "The next object" }, "→")),
    h("p", { class: "faint" }, ...KEYS.flatMap(([key, what], i) => [i ? " · " : "", h("kbd", {}, key), ` ${what}`])));
  const dialog = openDialog("Review", h("div", { class: "large" }, frame, choices, panel));
  const title = dialog.querySelector("h2");

  const object = () => source.shown()[index];
  let entries = [];

  function choose(n) {
    const entry = entries[n];
    if (!entry) return;
    over.hidden = entry[0] === null;
    if (entry[0] !== null) over.src = addressOf(source.path, object(), entry[0], entry[2] ?? object().version);
    [...choices.querySelectorAll("button")].forEach((button, i) => {
      button.setAttribute("aria-pressed", String(i === n));
      button.classList.toggle("primary", i === n);
    });
  }

  function show(mask = null) {
    const one = object();
    title.textContent = `${one.line} · ${one.uri.split("/").pop()}`;
    image.src = addressOf(source.path, one, "image");
    frame.style.setProperty("--ratio", one.width / one.height || 1);
    entries = source.masks(one);
    choices.replaceChildren(...entries.map(([, words], i) => h("button", { type: "button", "aria-pressed": "false", onclick: () => choose(i) }, words, h("kbd", {}, String(i + 1)))), strength);
    choose(mask ?? entries.length - 1);
    facts.replaceChildren(source.job().kind === "verification" ? source.verdicts(one) : "", ...one.returned.map((r) => h("p", {}, `Sent back to ${r.name ?? "its worker"}: `, h("q", {}, r.comment))));
    comment.value = one.comment;
    for (const [verdict, button] of Object.entries(verdictButtons)) {
      button.setAttribute("aria-pressed", String(one.review === verdict));
      button.classList.toggle("primary", one.review === verdict);
    }
    back.disabled = !source.canReturn() || !one.answers.length;
    back.title = source.canReturn() ? "" : "The job has ended. Mark the object as bad and have it corrected with gtseg adjust";
  }

  async function go(by) {
    if (index + by >= 0 && index + by < source.shown().length) index += by;
    else if (await source.more(by)) index = by > 0 ? 0 : source.shown().length - 1;
    else return (said.textContent = by > 0 ? "This was the last object." : "This is the first object.");
    said.textContent = "";
    return show();
  }

  /** Run `action` unless one is running; show its error. */
  async function act(action, words) {
    if (busy) return;
    busy = true;
    try {
      await action();
      const { line } = object();
      await source.changed();
      const now = source.shown().findIndex((one) => one.line === line);
      if (now >= 0) index = now; // if a filter removed the object, the next one has its index
      else index = Math.min(index, source.shown().length) - 1;
      if (!source.shown().length) return dialog.close();
      await go(1);
      said.textContent = [words, said.textContent].filter(Boolean).join(" ");
      if (index < 0) index = 0;
    } catch (error) {
      said.textContent = error.message;
    } finally {
      busy = false;
    }
  }

  const judge = (verdict) => act(() => post(`${source.path}/objects/${object().line}/review`, { verdict, comment: comment.value }), `${object().line} is ${verdict}.`);

  function sendBack() {
    if (back.disabled) return (said.textContent = back.title || "There is no answer to send back.");
    if (!comment.value.trim()) {
      comment.focus();
      return (said.textContent = "Write what to change; Ctrl Enter sends the object back.");
    }
    return act(() => post(`${source.path}/objects/${object().line}/return`, { comment: comment.value }), `${object().line} was sent back.`);
  }

  dialog.addEventListener("keydown", (event) => {
    const key = event.key.toLowerCase();
    const sends = (event.ctrlKey || event.metaKey) && event.key === "Enter";
    if (event.target === comment) {
      if (sends) sendBack();
      else if (event.key === "Escape") dialog.querySelector(".body").focus();
      else return;
      return event.preventDefault();
    }
    if (event.ctrlKey || event.metaKey || event.altKey || event.target === strength) return;
    const actions = { g: () => judge("good"), b: () => judge("bad"), s: sendBack, c: () => comment.focus(), arrowleft: () => go(-1), arrowright: () => go(1) };
    if (/^[1-9]$/.test(key)) choose(Number(key) - 1);
    else if (key in actions) actions[key]();
    else return;
    event.preventDefault();
  });
  show(source.mask);
  dialog.querySelector(".body").focus();
}
