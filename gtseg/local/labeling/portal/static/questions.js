// Questions to the owner: pins on the image, a dialog to ask, and the answers.

import { get, post } from "./api.js";
import { h, openDialog } from "./annotate/dom.js";

/** The questions of a task, as pins that move with the image. */
export class Questions {
  /** `task`: the server's description; `editor`: an element with `view` and a `.stage`. */
  constructor(task, editor) {
    Object.assign(this, { task, editor, list: [], layer: h("div", { class: "pins" }) });
    this.stage = editor.querySelector(".stage");
    this.stage.append(this.layer);
    const before = editor.view.onchange;
    editor.view.onchange = (...words) => {
      before?.(...words);
      this.place();
    };
  }

  async load() {
    const { questions } = await get(`jobs/${encodeURIComponent(this.task.job)}/questions`);
    this.list = questions.filter((q) => String(q.line) === this.task.object);
    this.others = questions.filter((q) => q.unread && String(q.line) !== this.task.object);
    this.show();
  }

  show() {
    const pins = this.list.filter((q) => q.x !== null).map((q) => {
      const pin = h("button", { type: "button", class: "pin", "aria-label": `Your question: ${q.question}${q.answer ? ` Answer: ${q.answer}` : ""}`, onclick: () => this.read(q) }, q.answer ? "!" : "?");
      pin.at = [q.x, q.y];
      return pin;
    });
    this.layer.replaceChildren(...pins);
    this.place();
  }

  place() {
    for (const pin of this.layer.children) {
      const [x, y] = this.editor.view.toScreen(...pin.at);
      Object.assign(pin.style, { left: `${x}px`, top: `${y}px` });
    }
  }

  read(q) {
    openDialog("Your question", h("p", {}, q.question), h("p", {}, h("strong", {}, q.answer ? "Answer: " : "Not answered yet."), q.answer ?? ""));
  }

  /** Wait for a press on the image (Enter: the whole image, Escape: cancel), then open the dialog. */
  ask() {
    if (this.layer.classList.contains("asking")) return this.stop();
    this.layer.classList.add("asking");
    this.editor.showMessage?.(this.editor.words?.touch ? "Tap the place that you ask about. Tap Ask again to cancel." : "Click the place that you ask about. Enter: the whole image. Esc: cancel.");
    this.quit = new AbortController();
    const options = { signal: this.quit.signal, capture: true };
    const keep = (event) => {
      event.preventDefault();
      event.stopPropagation();
    };
    this.layer.addEventListener("pointerdown", (event) => {
      keep(event);
      const box = this.stage.getBoundingClientRect();
      const [x, y] = this.editor.view.toImage(event.clientX - box.left, event.clientY - box.top);
      const { width, height } = this.editor.map;
      this.stop();
      this.write(x >= 0 && y >= 0 && x <= width && y <= height ? { x, y } : {});
    }, options);
    for (const kind of ["pointerup", "click"]) this.layer.addEventListener(kind, keep, options);
    document.addEventListener("keydown", (event) => {
      if (!["Escape", "Enter"].includes(event.key)) return;
      keep(event);
      this.stop();
      if (event.key === "Enter") this.write({});
    }, options);
    return undefined;
  }
  stop() {
    this.layer.classList.remove("asking");
    this.quit?.abort();
    this.editor.showMessage?.("");
  }

  write(place) {
    const text = h("textarea", { id: "question", rows: "3", maxlength: "1000", required: true, placeholder: "Is this a cat or a fox?" });
    const problem = h("p", { class: "alarm", role: "alert" });
    const send = async (event) => {
      event.preventDefault();
      if (!text.value.trim()) return (problem.textContent = "Write your question.");
      try {
        await post(`tasks/${encodeURIComponent(this.task.task)}/questions`, { question: text.value.trim(), ...place });
        dialog.close();
        this.editor.showMessage?.("Your question was sent to the owner. Continue, or skip the image until it is answered.");
        await this.load();
      } catch (error) {
        problem.textContent = `The question was not sent: ${error.message}`;
      }
      return undefined;
    };
    const dialog = openDialog("Ask the owner", h("form", { onsubmit: send }, h("label", { for: "question" }, place.x === undefined ? "Your question about this image" : "Your question about this place"), text, problem,
      h("p", { class: "actions" }, h("button", { class: "primary" }, "Ask"), h("button", { type: "button", onclick: () => dialog.close() }, "Cancel"))));
    text.focus();
  }
}

/** Comments of the owner and of reviewers on this task: [[who, text], ...] */
export function remarksOf(task) {
  const found = task.returned ? [["Sent back by the owner", task.returned]] : [];
  for (const [name, value] of Object.entries(task.input?.manifestLine ?? {})) {
    if (!name.endsWith("-metadata") || value?.type !== "groundtruth/label-verification") continue;
    for (const { comment } of value["worker-feedback"] ?? []) if (comment) found.push(["A reviewer says", comment]);
  }
  return found;
}

/** Show comments and answered questions at the top of the side panel. */
export function showRemarks(editor, task, questions) {
  const answers = questions.filter((q) => q.answer !== null).map((q) => [`You asked: ${q.question}`, q.answer]);
  const said = [...remarksOf(task), ...answers];
  editor.querySelector(".side .said")?.remove();
  if (!said.length) return;
  editor.querySelector(".side")?.prepend(h("section", { class: "said remark", "aria-label": "Comments on this image" }, ...said.map(([who, text]) => h("p", {}, h("strong", {}, `${who}: `), text))));
}
