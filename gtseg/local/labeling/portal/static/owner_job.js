// One job, for its owner: progress, people, agreement, and every object with image, answers and consolidated mask.

import { get, insist, post } from "./api.js";
import { h, openDialog } from "./annotate/dom.js";
import { jobMeter, jobState } from "./progress.js";
import { ago, duration, percent } from "./words.js";

const at = Object.fromEntries([...document.querySelectorAll("[id]")].map((element) => [element.id, element]));
const name = decodeURIComponent(location.pathname.split("/").pop());
const path = `owner/jobs/${encodeURIComponent(name)}`;
let page = 0;

function figure(value, words) {
  return h("div", {}, h("dt", {}, words), h("dd", {}, value));
}

function showHead(job) {
  at.name.textContent = job.name;
  document.title = `${job.name} · gtseg`;
  at.state.replaceChildren(jobState(job));
  const { counts } = job;
  at.head.replaceChildren(
    jobMeter(counts),
    h("dl", { class: "figures" },
      figure(`${counts.answers} / ${counts.wanted}`, "answers"), figure(String(counts.failed), "failed"), figure(String(job.workers_per_object), "workers per object"),
      job.seconds_left === null ? "" : figure(`about ${duration(job.seconds_left)}`, "left at the present pace"),
      figure(percent(job.agreement), job.comparable ? `agreement of workers: mean IoU without background (${job.compared} of ${job.comparable} objects)` : "agreement of workers: nothing to compare")),
    h("p", { class: "faint" }, `${job.title} · ${job.labels.join(", ")} · ${job.output}`),
    job.failure ? h("p", { class: "alarm" }, job.failure) : "");
}

function showWorkers(workers) {
  if (!workers.length) return at.workers.replaceChildren(h("p", { class: "faint" }, "Nobody has begun."));
  const number = (text) => h("td", { class: "number" }, text);
  const heads = ["Name", "Answers", "Median time", "Agreement with others", "Declined", "Ran out of time", "Last seen"];
  const pause = (w) => h("button", { type: "button", onclick: () => setState(w, w.state === "paused" ? "active" : "paused"), "aria-label": `${w.state === "paused" ? "Resume" : "Pause"} ${w.name}` }, w.state === "paused" ? "Resume" : "Pause");
  return at.workers.replaceChildren(h("table", {},
    h("thead", {}, h("tr", {}, ...heads.map((head, i) => h("th", { scope: "col", class: i ? "number" : "" }, head)), h("td", {}))),
    h("tbody", {}, ...workers.map((w) => h("tr", {}, h("th", { scope: "row" }, w.name, w.state === "active" ? "" : ` (${w.state})`), number(String(w.answers)), number(duration(w.median_seconds)), number(percent(w.iou)), number(String(w.declined)), number(String(w.expired)), number(ago(w.last)), h("td", { class: "acts" }, w.state === "removed" ? "" : pause(w)))))));
}

/** A paused person gets no more tasks; what they hold they may still submit. */
async function setState(worker, state) {
  await post(`owner/workers/${worker.worker}`, { state });
  await showAll();
}

function layered(object, mask, words) {
  const { line } = object;
  const source = `/_portal/api/${path}/objects/${line}`;
  const pictures = [h("img", { src: `${source}/image`, alt: "", loading: "lazy" })];
  if (mask) pictures.push(h("img", { src: `${source}/${encodeURIComponent(mask)}`, alt: "", loading: "lazy", class: mask === "mask" ? "index" : "" }));
  return h("figure", {}, h("button", { type: "button", class: "layered", "aria-label": `${words}: look closely`, onclick: () => enlarge(object, mask) }, ...pictures), h("figcaption", {}, words));
}

function masksOf(object) {
  const answers = object.answers.map((a) => [a.worker, `${a.name}, ${duration(a.seconds)}`]);
  return [[null, "Image"], ...answers, ...(object.state === "labeled" ? [["mask", "Consolidated"]] : [])];
}

/** The image large, and whichever mask is chosen over it: by button or number key, so that two masks can be flicked between. */
function enlarge(object, chosen) {
  const source = `/_portal/api/${path}/objects/${object.line}`;
  const over = h("img", { alt: "" });
  const frame = h("div", { class: "frame" }, h("img", { src: `${source}/image`, alt: "The image" }), over);
  frame.style.setProperty("--ratio", object.width / object.height || 1);
  const [photo] = frame.children;
  photo.addEventListener("load", () => frame.style.setProperty("--ratio", photo.naturalWidth / photo.naturalHeight)); // upright, as people see it
  const strength = h("input", { type: "range", min: "0", max: "100", value: "60", "aria-label": "Mask strength", oninput: () => (over.style.opacity = strength.value / 100) });
  over.style.opacity = 0.6;
  const buttons = masksOf(object).map(([mask, words], i) => h("button", { type: "button", "aria-pressed": "false", onclick: () => choose(i) }, words, h("kbd", {}, String(i + 1))));
  const choose = (i) => {
    const entry = masksOf(object)[i];
    if (!entry) return;
    over.hidden = entry[0] === null;
    if (entry[0] !== null) over.src = `${source}/${encodeURIComponent(entry[0])}`;
    buttons.forEach((button, n) => {
      button.setAttribute("aria-pressed", String(n === i));
      button.classList.toggle("primary", n === i);
    });
  };
  const dialog = openDialog(`${object.line} · ${object.uri.split("/").pop()}`, h("div", { class: "large" }, frame, h("div", { class: "bottom" }, ...buttons, strength)));
  dialog.addEventListener("keydown", (event) => /^[1-9]$/.test(event.key) && choose(Number(event.key) - 1));
  choose(masksOf(object).findIndex(([mask]) => mask === chosen));
}

function showObject(object) {
  const file = object.uri.split("/").pop();
  return h("article", { class: "card object" },
    h("header", {}, h("h3", {}, `${object.line} · ${file}`), h("span", { class: "faint number" }, object.width ? `${object.width} × ${object.height}` : ""),
      object.agreement === null ? "" : h("span", { class: "number" }, `agreement ${percent(object.agreement)}`),
      object.state === "failed" ? h("strong", { class: "alarm" }, "failed") : ""),
    object.reason ? h("p", { class: "alarm" }, object.reason) : "",
    ...object.declines.map((d) => h("p", { class: "faint" }, `${d.name ?? "Somebody"} declined: ${d.reason || "no reason"}`)),
    h("div", { class: "strip" }, ...masksOf(object).map(([mask, words]) => layered(object, mask, words))));
}

async function showObjects() {
  const found = await insist(() => get(`${path}/objects?page=${page}&show=${at.show.value}`));
  page = Math.min(found.page, found.pages - 1);
  at.page.textContent = `${page + 1} of ${found.pages}`;
  at.before.disabled = page === 0;
  at.after.disabled = page + 1 >= found.pages;
  at.gallery.replaceChildren(...(found.objects.length ? found.objects.map(showObject) : [h("p", { class: "faint" }, "None yet.")]));
}

async function showAll() {
  const job = await insist(() => get(path), (n, seconds) => (at.status.textContent = `The server does not answer. Next try in ${seconds} s.`));
  at.status.textContent = "";
  showHead(job);
  showWorkers(job.workers);
}

function turn(by) {
  page = Math.max(0, page + by);
  showObjects();
}
at.csv.href = `/_portal/api/${path}/people.csv`;
at.before.addEventListener("click", () => turn(-1));
at.after.addEventListener("click", () => turn(1));
at.show.addEventListener("change", () => turn(-page));
showAll().then(showObjects).catch((error) => (at.status.textContent = error.message));
setInterval(() => document.visibilityState === "visible" && showAll(), 10_000);
