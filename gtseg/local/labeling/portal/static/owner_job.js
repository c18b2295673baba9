// The owner's page of a job: progress, questions, workers, agreement, and the objects with image, answers, verdicts and masks.

import { get, retry, post } from "./api.js";
import { h } from "./annotate/dom.js";
import { shownColors } from "./annotate/shown_colors.js";
import { jobMeter, jobState } from "./progress.js";
import { layered, openReview } from "./review.js";
import { ago, duration, percent } from "./words.js";

const at = Object.fromEntries([...document.querySelectorAll("[id]")].map((element) => [element.id, element]));
const name = decodeURIComponent(location.pathname.split("/").pop());
const path = `owner/jobs/${encodeURIComponent(name)}`;
const FILTERS = { show: at.show, worker: at.worker, label: at.label, review: at.verdict, confidence: at.confidence, agreement: at.agreement };
let page = 0;
let pages = 1;
let job = null;
let shown = [];

function figure(value, words) {
  return h("div", {}, h("dt", {}, words), h("dd", {}, value));
}

/** A command to run in the project's folder, with a button that copies it. */
function command(text) {
  const copy = h("button", { type: "button", class: "quiet", onclick: async () => { await navigator.clipboard?.writeText(text); copy.textContent = navigator.clipboard ? "Copied" : "Select it to copy"; } }, "Copy");
  return h("span", { class: "command" }, h("code", {}, text), copy);
}

const isOver = () => ["Completed", "Stopped", "Failed"].includes(job.status);

/** The next step after a verification: how to correct bad masks. */
function afterVerdicts() {
  const bad = job.verdicts.bad ?? 0;
  if (!isOver()) return h("p", { class: "faint" }, "When all masks are judged, run `gtseg verify` to read the verdicts, then `gtseg adjust --bad` to have the bad masks corrected.");
  if (!bad) return h("p", {}, "Every mask that was judged is good.");
  return h("p", {}, `${bad} ${bad === 1 ? "mask is" : "masks are"} bad. To have ${bad === 1 ? "it" : "them"} corrected, run in the project's folder: `, command("gtseg verify"), " then ", command("gtseg adjust --bad"));
}

/** The next step after the owner's own verdicts. */
function afterReviews() {
  const { good, bad } = job.reviews;
  if (!good && !bad) return "";
  const words = `Your verdicts: ${good} good, ${bad} bad. `;
  if (!bad) return h("p", { class: "number" }, words);
  if (!isOver()) return h("p", { class: "number" }, words, "While the job runs, Send back in the review returns an object to its workers.");
  return h("p", { class: "number" }, words, h("a", { href: `/_portal/api/${path}/redo.jsonl`, download: true }, "Download the bad ones"), ", then run in the project's folder: ", command(`gtseg adjust --job ${job.name} --only ${job.name}-redo.jsonl`));
}

function showHead() {
  const { counts } = job;
  const judged = job.kind === "verification";
  at.name.textContent = job.name;
  document.title = `${job.name} · gtseg`;
  at.state.replaceChildren(jobState(job));
  const figures = [
    figure(`${counts.answers} / ${counts.wanted}`, "answers"), figure(String(counts.failed), "failed"), figure(String(job.workers_per_object), "workers per object"),
    job.seconds_left === null ? "" : figure(`about ${duration(job.seconds_left)}`, "left at the present pace"),
    ...(judged
      ? Object.entries(job.verdicts).map(([verdict, count]) => figure(String(count), verdict))
      : [figure(percent(job.agreement), job.comparable ? `agreement of workers: mean IoU without background (${job.compared} of ${job.comparable} objects)` : "agreement of workers: nothing to compare")])];
  at.head.replaceChildren(
    jobMeter(counts, judged ? "judged" : "labeled"),
    h("dl", { class: "figures" }, ...figures),
    judged ? afterVerdicts() : afterReviews(),
    h("p", { class: "faint" }, `${job.title} · ${job.labels.join(", ")} · ${job.output}`),
    job.failure ? h("p", { class: "alarm" }, job.failure) : "");
}

function fill(select, entries) {
  const first = select.options[0];
  const { value } = select;
  if (select.options.length === entries.length + 1) return;
  select.replaceChildren(first, ...entries.map(([key, words]) => h("option", { value: key }, words)));
  select.value = value;
}

function showFilters() {
  const judged = job.kind === "verification";
  at.classword.textContent = judged ? "Verdict" : "Class";
  at.agreement.closest("label").hidden = judged;
  fill(at.worker, job.workers.map((w) => [w.worker, w.name]));
  fill(at.label, job.labels.map((label) => [label, label]));
}

function showWorkers(workers) {
  if (!workers.length) return at.workers.replaceChildren(h("p", { class: "faint" }, "No worker has started."));
  const judged = job.kind === "verification";
  const number = (text, title = null) => h("td", { class: "number", title }, text);
  const gold = new Map((job.gold?.workers ?? []).map((w) => [w.worker, w]));
  const scored = (w) => number(gold.has(w.worker) ? `${gold.get(w.worker).seen}: ${percent(gold.get(w.worker).iou)}` : "0", "Answered gold images, and their mean IoU with the known masks");
  const heads = ["Name", "Answers", "Median time", ...(judged ? [] : ["Agreement with others"]), ...(job.gold ? ["Gold images"] : []), "Declined", "Ran out of time", "Last seen"];
  const pause = (w) => h("button", { type: "button", onclick: () => setState(w, w.state === "paused" ? "active" : "paused"), "aria-label": `${w.state === "paused" ? "Resume" : "Pause"} ${w.name}` }, w.state === "paused" ? "Resume" : "Pause");
  const time = (w) => number(duration(w.median_seconds), `In active use; ${duration(w.median_lease_seconds)} from taking an image to submitting it`);
  return at.workers.replaceChildren(h("table", {},
    h("thead", {}, h("tr", {}, ...heads.map((head, i) => h("th", { scope: "col", class: i ? "number" : "" }, head)), h("td", {}))),
    h("tbody", {}, ...workers.map((w) => h("tr", {}, h("th", { scope: "row" }, w.name, w.state === "active" ? "" : ` (${w.state})`), number(String(w.answers)), time(w), judged ? null : number(percent(w.iou)), job.gold ? scored(w) : null, number(String(w.declined)), number(String(w.expired)), number(ago(w.last)), h("td", { class: "acts" }, w.state === "removed" ? "" : pause(w)))))));
}

/** A paused worker gets no more tasks, but can submit leased ones. */
async function setState(worker, state) {
  await post(`owner/workers/${worker.worker}`, { state });
  await showAll();
}

// ---- colors ----

/** The color of each label. The list is rebuilt only after a change, so that an open color picker stays open. */
function showColors() {
  at.palette.hidden = job.kind === "verification";
  const state = JSON.stringify([job.labels, job.colors]);
  if (at.colors.dataset.state === state) return;
  at.colors.dataset.state = state;
  const colors = shownColors(job.labels, job.colors);
  at.colors.replaceChildren(...job.labels.map((label, i) => h("div", { class: "row" },
    h("label", {}, h("input", { type: "color", value: colors[i], "aria-label": `Color of ${label}`, onchange: (event) => keepColors({ ...job.colors, [label]: event.target.value }) }), h("span", { class: "name" }, label)),
    h("button", { type: "button", class: "quiet", hidden: !Object.hasOwn(job.colors, label), "aria-label": `Reset the color of ${label}`, onclick: () => keepColors(Object.fromEntries(Object.entries(job.colors).filter(([other]) => other !== label))) }, "Reset"))));
}

/** Save the colors; null resets all to those of the job's tags. */
async function keepColors(colors) {
  at.colorproblem.textContent = "";
  try {
    ({ colors: job.colors } = await post(`${path}/colors`, { colors }));
  } catch (error) {
    at.colorproblem.textContent = `Not saved: ${error.message}`;
    at.colors.dataset.state = ""; // show the stored colors again
  }
  showColors();
}

// ---- questions ----

async function showQuestions() {
  if (at.questions.contains(document.activeElement)) return; // an answer is being written
  const { questions } = await get(`${path}/questions`);
  at.asked.hidden = !questions.length;
  at.questions.replaceChildren(...questions.map(showQuestion));
}

function showQuestion(q) {
  const text = h("textarea", { rows: "2", maxlength: "1000", "aria-label": `Answer ${q.name}` });
  const problem = h("p", { class: "alarm", role: "alert" });
  const send = async (event) => {
    event.preventDefault();
    try {
      await post(`${path}/questions/${q.id}`, { answer: text.value });
      document.activeElement?.blur();
      await showQuestions();
    } catch (error) {
      problem.textContent = error.message;
    }
  };
  const picture = h("div", { class: "pinned" }, h("img", { src: `/_portal/api/${path}/objects/${q.line}/image`, alt: q.x === null ? `The image ${q.file}` : `The image ${q.file}; a pin shows the place`, loading: "lazy" }));
  if (q.x !== null) picture.append(h("span", { class: "pin", style: { left: `${100 * q.left}%`, top: `${100 * q.top}%` } }, "?"));
  return h("article", { class: "question" }, picture, h("div", {},
    h("p", { class: "faint" }, `${q.name} asks about ${q.line} · ${q.file}, ${ago(q.asked)}`), h("p", {}, q.question),
    q.answer === null
      ? h("form", { onsubmit: send }, text, problem, h("p", { class: "actions" }, h("button", { class: "primary" }, "Answer")))
      : h("p", {}, h("strong", {}, "Your answer: "), q.answer, h("span", { class: "faint" }, q.unread ? " (not read yet)" : " (read)"))));
}

// ---- the gallery ----

function showObject(object, index) {
  const file = object.uri.split("/").pop();
  const words = masks(object);
  return h("article", { class: "card object" },
    h("header", {}, h("h3", {}, `${object.line} · ${file}`), h("span", { class: "faint number" }, object.width ? `${object.width} × ${object.height}` : ""),
      object.agreement === null ? "" : h("span", { class: "number" }, `agreement ${percent(object.agreement)}`),
      object.confidence === null ? "" : h("span", { class: "number" }, `confidence ${percent(object.confidence)}`),
      object.verdict === null ? "" : h("strong", { class: object.verdict === "bad" ? "alarm" : "" }, object.verdict),
      object.review ? h("span", { class: "chip" }, `you: ${object.review}`) : "",
      object.state === "failed" ? h("strong", { class: "alarm" }, "failed") : ""),
    object.reason ? h("p", { class: "alarm" }, object.reason) : "",
    object.comment ? h("p", {}, "Your comment: ", h("q", {}, object.comment)) : "",
    ...object.returned.map((r) => h("p", {}, `Sent back to ${r.name ?? "its worker"}: `, h("q", {}, r.comment))),
    ...object.declines.map((d) => h("p", { class: "faint" }, `${d.name ?? "Somebody"} ${d.skipped ? "skipped it" : `declined: ${d.reason || "no reason"}`}`)),
    job.kind === "verification" ? verdictsOf(object) : "",
    h("div", { class: "strip" }, ...words.map(([mask, text], i) => layered(path, object, mask, text, () => review(index, i)))));
}

function verdictsOf(object) {
  return h("ul", { class: "verdicts" }, ...object.answers.map((a) => h("li", {}, `${a.name}: `, h("strong", {}, a.verdict ?? "–"), a.comment ? h("span", {}, " · ", h("q", {}, a.comment)) : "", h("span", { class: "faint" }, ` · ${duration(a.seconds)}`))));
}

/** [[suffix of the mask's URL, caption], ...]; null is the image alone. */
function masks(object) {
  if (job.kind === "verification") return [[null, "Image"], ["prior", "Mask"]];
  const answers = object.answers.map((a) => [a.worker, `${a.name}, ${duration(a.seconds)}`, a.version]);
  return [[null, "Image"], ...answers, ...(object.state === "labeled" ? [["mask", object.by_machine ? "By a model" : "Consolidated", object.version]] : [])];
}

let asked = 0; // responses may arrive out of order

async function showObjects() {
  const own = (asked += 1);
  const words = new URLSearchParams(Object.entries(FILTERS).map(([key, select]) => [key, select.value]));
  const found = await retry(() => get(`${path}/objects?page=${page}&${words}`));
  if (own !== asked) return undefined;
  if (found.page >= found.pages && found.page > 0) return turn(found.pages - 1 - page);
  ({ page, pages } = found);
  shown = found.objects;
  at.page.textContent = `${page + 1} of ${pages}`;
  at.before.disabled = page === 0;
  at.after.disabled = page + 1 >= pages;
  at.review.disabled = !shown.length;
  const more = found.looked !== undefined && found.looked < found.looking;
  at.found.textContent = [`${found.total} ${found.total === 1 ? "object" : "objects"}`, more ? `the classes of ${found.looked} of ${found.looking} masks are known so far` : ""].filter(Boolean).join("; ");
  at.gallery.replaceChildren(...(shown.length ? shown.map(showObject) : [h("p", { class: "faint" }, "None.")]));
  if (more) setTimeout(() => document.visibilityState === "visible" && !document.querySelector("dialog[open]") && showObjects(), 2000);
  return undefined;
}

/** Open the review at an object of this page; it continues over the pages. */
function review(index, mask = null) {
  openReview({
    path, index, mask, masks, verdicts: verdictsOf,
    job: () => job,
    shown: () => shown,
    canReturn: () => job.status === "InProgress",
    more: async (by) => {
      if (page + by < 0 || page + by >= pages) return false;
      page += by;
      await showObjects();
      return shown.length > 0;
    },
    changed: () => Promise.all([showAll(), showObjects()]),
  });
}

async function showAll() {
  job = await retry(() => get(path), (n, seconds) => (at.status.textContent = `The server does not answer. Next try in ${seconds} s.`));
  at.status.textContent = "";
  showHead();
  showFilters();
  showColors();
  showWorkers(job.workers);
  await showQuestions();
}

function turn(by) {
  page = Math.max(0, page + by);
  return showObjects();
}
at.colorreset.addEventListener("click", () => keepColors(null));
at.csv.href = `/_portal/api/${path}/people.csv`;
at.before.addEventListener("click", () => turn(-1));
at.after.addEventListener("click", () => turn(1));
at.review.addEventListener("click", () => review(0));
at.filters.addEventListener("submit", (event) => event.preventDefault());
for (const select of Object.values(FILTERS)) select.addEventListener("change", () => turn(-page));
showAll().then(showObjects).catch((error) => (at.status.textContent = error.message));
setInterval(() => document.visibilityState === "visible" && showAll(), 10_000);

document.body.inert = false; // before this, clicks have no handlers
