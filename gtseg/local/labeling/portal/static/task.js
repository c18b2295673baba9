// The task page: lease a task, show it, save drafts, submit, take the next one.

import { get, retry, post, HttpError, Unreachable } from "./api.js";
import { Activity } from "./annotate/activity.js";
import "./annotate/classifier.js";
import "./annotate/element.js";
import { h, openDialog } from "./annotate/dom.js";
import { Draft } from "./annotate/draft.js";
import { Journal } from "./annotate/journal.js";
import { StoredSettings } from "./annotate/stored_settings.js";
import { Questions, showRemarks } from "./questions.js";
import { readTemplate } from "./template.js";

const page = Object.fromEntries([...document.querySelectorAll("[id]")].map((element) => [element.id, element]));
const job = decodeURIComponent(location.pathname.split("/").pop());
const EDITORS = "crowd-semantic-segmentation, crowd-image-classifier";
/** Buttons of the bar -> ids of their actions; the buttons' titles show the actions' keys. */
const BUTTONS = { instructions: "instructions", keys: "sheet", previous: "previous", ask: "ask", skip: "skip", submit: "submit" };
let task = null;
let form = null;
let editor = null;
let journal = null;
let draft = null;
let questions = null;
const activity = new Activity().listen();
let ticking = null;
let submitting = false;
let closed = false; // the lease has ended: no more drawing or sending

/** Show a notice over the image; with `stays` it cannot be hidden. */
function notice(text, { alarm = false, actions = [], stays = false } = {}) {
  page.notice.hidden = !text;
  page.notice.classList.toggle("alarm", alarm);
  const hide = h("button", { class: "quiet", type: "button", onclick: () => notice("") }, "Hide");
  page.notice.replaceChildren(h("span", {}, text ?? ""), ...actions, ...(stays ? [] : [hide]));
}

/** Enable or disable the buttons and the editor. */
function setOpen(yes) {
  page.submit.disabled = page.decline.disabled = page.skip.disabled = page.ask.disabled = !yes;
  page.work.inert = !yes;
}

function showText(title, text, ...actions) {
  page.work.replaceChildren(h("div", { class: "rest" }, h("h1", {}, title), h("p", {}, text), h("p", { class: "actions" }, ...actions)));
  setOpen(false);
  page.work.inert = false;
  page.timer.textContent = page.progress.textContent = "";
}

const home = () => h("a", { class: "button", href: "/_portal/" }, "Back to my jobs");

// ---- a task begins ----

async function next() {
  notice("");
  clearInterval(ticking);
  releaseTask();
  task = null;
  closed = false;
  page.saved.textContent = "";
  const found = await retry(() => post(`jobs/${encodeURIComponent(job)}/tasks`), (n, seconds) => notice(`The server does not answer. Next try in ${seconds} s.`, { alarm: true }));
  notice("");
  if (!found) return showText("Nothing left to do here", "Every image of this job is labeled or being labeled by others. More may become available later.", home(), h("a", { class: "button", href: `/_portal/submitted/${encodeURIComponent(job)}` }, "What you submitted"), h("button", { onclick: () => start() }, "Look again"));
  return show(found);
}

async function show(found, { take = false } = {}) {
  releaseTask();
  task = found;
  closed = false;
  draft = new Draft(task.task, { activity, onlost: () => takenOver(found) });
  activity.touch();
  const wait = (n, seconds) => notice(`The server does not answer. Next try in ${seconds} s.`, { alarm: true });
  const [held, html] = await Promise.all([retry(() => draft.open({ take }), wait), retry(() => get(`tasks/${encodeURIComponent(task.task)}/page`), wait)]);
  notice("");
  if (held.elsewhere) return openElsewhere(found);
  const fragment = readTemplate(html);
  form = fragment.querySelector("crowd-form");
  editor = form.querySelector(EDITORS);
  page.header.textContent = editor.getAttribute("header") || task.title || job;
  document.title = `${page.header.textContent} · gtseg`;
  page.work.replaceChildren(fragment);
  form = page.work.querySelector("crowd-form");
  editor = form.querySelector(EDITORS);
  const key = [page.who.dataset.worker, job, task.object].join("\n");
  journal = new Journal(key, showSaved, draft);
  const mask = editor.localName === "crowd-semantic-segmentation";
  const again = task.revising || task.returned !== null; // a reopened answer of this worker
  const outlines = `/_portal/api/tasks/${encodeURIComponent(task.task)}`;
  // loads the network and the image before the first click
  const starts = mask ? get(`${outlines}/autosegment`).then((answer) => answer.starts, () => null) : null;
  await editor.begin({
    journal,
    colors: task.colors,
    submission: again && mask ? `/_portal/api/tasks/${encodeURIComponent(task.task)}/submission` : null,
    submitted: again && !mask ? await get(`tasks/${encodeURIComponent(task.task)}/verdict`).catch(() => null) : null,
    settings: new StoredSettings(`${page.who.dataset.worker}\n${job}`),
    canAutosegment: task.autosegment !== false,
    suggestion: task.suggested_by ? get(`tasks/${encodeURIComponent(task.task)}/suggestion`) : undefined,
    fetcher: (url) => retry(() => read(url), (n, seconds) => editor.showMessage(`The image cannot be loaded. Next try in ${seconds} s.`, { alarm: true })),
    starts,
    autosegment: (request) => post(`${outlines}/autosegment`, request).catch(closeIfGone),
    scissors: (request) => post(`${outlines}/scissors`, request).catch(closeIfGone),
  });
  for (const [id, action] of Object.entries(BUTTONS)) page[id].title = editor.actions.title(action);
  page.instructions.hidden = !editor.instructions;
  page.decline.hidden = page.skip.hidden = task.revising;
  page.keep.hidden = !task.revising;
  page.submit.textContent = submitWord();
  setOpen(!closed);
  questions = new Questions(task, editor);
  loadRemarks(found);
  if (editor.instructions && !localStorage.getItem(`read ${job}`)) {
    localStorage.setItem(`read ${job}`, "1");
    editor.showInstructions();
  }
  startTimer();
  showProgress(found);
  if (journal.aside) offerAside(found);
}

const submitWord = () => (task?.revising ? "Submit changes" : "Submit");

/** Show comments on this image, and answers to questions about others. */
async function loadRemarks(found) {
  const mine = questions;
  showRemarks(editor, found, []);
  await mine.load().catch(() => {});
  if (task !== found || questions !== mine) return;
  showRemarks(editor, found, mine.list);
  if (mine.others?.length) notice(`The owner answered your question about ${mine.others[0].file}: ${mine.others[0].answer}`, { actions: [h("a", { class: "button", href: `/_portal/submitted/${encodeURIComponent(job)}` }, "All answers")] });
}

// ---- reopening and skipping

async function openSubmitted(id) {
  await post(`tasks/${encodeURIComponent(id)}/revise`);
  closeEditor();
  await show(await get(`tasks/${encodeURIComponent(id)}`));
}

/** Reopen the latest answer that can still be changed. */
async function previous() {
  if (submitting) return;
  const all = h("a", { class: "button", href: `/_portal/submitted/${encodeURIComponent(job)}` }, "What you submitted");
  try {
    const { answers } = await get(`jobs/${encodeURIComponent(job)}/submitted`);
    const last = answers.find((answer) => answer.state !== "done" && answer.task !== task?.task);
    if (!last) return notice("Your submitted answers can no longer be changed: they are consolidated.", { actions: [all] });
    await journal?.flush();
    await openSubmitted(last.task);
  } catch (error) {
    notice(`The answer cannot be reopened: ${error.message}`, { alarm: true, actions: [all] });
  }
}

/** Close a reopened answer without changes. */
async function keepAnswer() {
  try {
    await endTask(() => post(`tasks/${encodeURIComponent(task.task)}/keep`));
    await journal?.discard();
    editor?.discard?.();
    await start();
  } catch (error) {
    notice(error.message, { alarm: true });
  }
}

/** Skip the image, which is offered again last; its drawing is kept. */
async function skip() {
  if (!task || closed || submitting || task.revising) return;
  const { object } = task;
  try {
    await journal?.flush();
    await endTask(() => post(`tasks/${encodeURIComponent(task.task)}/release`, { reason: "skipped" }));
    await start();
    if (task?.object === object) notice("This is the only image available to you now. Another worker may take it, or ask the owner about it.");
  } catch (error) {
    if (error instanceof HttpError && error.status === 410) timeOut(error.message);
    else notice(`The image was not skipped: ${error.message}`, { alarm: true });
  }
}

// ---- the same task in two places

function openElsewhere(found) {
  clearInterval(ticking);
  showText("This image is open elsewhere", "It is open in another tab or on another computer. Take it over to continue here with what was drawn there.", h("button", { class: "primary", onclick: () => takeOver(found) }, "Take over here"), home());
}

/** Stop, because another tab or computer took over the task. */
function takenOver(found) {
  journal?.stop();
  clearInterval(ticking);
  closed = true;
  setOpen(false);
  notice("This image was taken over in another tab or on another computer, with what was drawn here.", { alarm: true, stays: true, actions: [h("button", { onclick: () => takeOver(found) }, "Take it back")] });
}

/** Remove the current task from the page. */
function closeEditor() {
  page.work.replaceChildren(h("p", { class: "rest faint" }, "Opening the image…"));
  setOpen(false);
  page.work.inert = false;
}

async function takeOver(found) {
  try {
    closeEditor();
    await show(found, { take: true });
  } catch (error) {
    notice(`The image cannot be taken over: ${error.message}`, { alarm: true, actions: [h("button", { onclick: () => start() }, "Next image")] });
  }
}

function offerAside(found) {
  const use = async () => {
    closeEditor();
    await journal.takeAside();
    await takeOver(found);
  };
  notice("This drawing is from another tab or computer. This computer has another drawing of this image, which was not saved on the server.", { stays: true, actions: [h("button", { onclick: use }, "Use this computer's"), h("button", { class: "quiet", onclick: () => notice("") }, "Keep this one")] });
}

/** Stop saving drafts and reporting presence of the last task. */
function releaseTask() {
  journal?.stop();
  draft?.end();
}

/** Show the number of images done and left beside the title. */
async function showProgress(found) {
  const mine = (await get("jobs").catch(() => null))?.jobs.find((one) => one.job === found.job);
  if (mine && task === found) page.progress.textContent = `${mine.answered} done · ${mine.available + mine.later} left`;
}

async function read(url) {
  const answer = await fetch(url, { credentials: "same-origin" }).catch(() => null);
  if (!answer || answer.status >= 500) throw new Unreachable("no answer");
  return answer;
}

function showSaved(state) {
  page.saved.textContent = { saved: "Saved", shared: "Saved", here: "Saved on this computer", saving: "Saving…", failed: "Not saved on this computer" }[state];
  page.saved.title = { saved: "On this computer; on the server in a moment", shared: "On this computer and on the server", here: "Only on this computer until the server answers" }[state] ?? "";
  page.saved.classList.toggle("alarm", state === "failed");
}

// ---- the clock ----

function startTimer() {
  const skew = task.now ? Date.parse(task.now) - Date.now() : 0;
  const end = Date.parse(task.expires_at);
  const told = new Set();
  const tick = () => {
    const left = Math.round((end - Date.now() - skew) / 1000);
    page.timer.textContent = left > 0 ? clock(left) : "0:00";
    page.timer.classList.toggle("alarm", left < 300);
    for (const [limit, words] of [[300, "5 minutes"], [60, "1 minute"]]) {
      if (left > limit || left <= 0 || told.has(limit) || task.time_limit_seconds <= limit) continue;
      told.add(limit);
      if (!submitting) notice(`${words} left for this image. Submit what you have, or it goes back to the others; your drawing is kept.`, { alarm: true, actions: [h("button", { onclick: () => submit() }, "Submit now")] });
    }
    if (left <= 0 && !submitting) timeOut();
  };
  clearInterval(ticking);
  ticking = setInterval(tick, 500);
  tick();
}

function clock(seconds) {
  const [hours, minutes, left] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60, seconds % 60];
  const two = (n) => String(n).padStart(2, "0");
  return hours ? `${hours}:${two(minutes)}:${two(left)}` : `${minutes}:${two(left)}`;
}

/** Close the task after its time limit; offer to lease the image again. The drawing is kept. */
function timeOut(why = "The time for this image is over.") {
  clearInterval(ticking);
  closed = true;
  document.querySelectorAll("dialog[open]").forEach((dialog) => dialog.close());
  setOpen(false);
  editor?.showDrawer?.(false);
  page.timer.textContent = "0:00";
  page.timer.classList.add("alarm");
  if (task.revising) return notice("The time for changes is over. Your submitted answer is unchanged.", { alarm: true, stays: true, actions: [h("button", { onclick: () => start() }, "Next image")] });
  return notice(`${why} Your drawing is kept. Take the image again to continue, if it is still available.`, { alarm: true, stays: true, actions: [h("button", { class: "primary", onclick: () => takeAgain() }, "Take it again"), h("button", { onclick: () => start() }, "Next image")] });
}

/** Close the task if the error says that the lease has ended (410); rethrow the error. */
function closeIfGone(error) {
  if (error instanceof HttpError && error.status === 410 && !closed) timeOut(error.message);
  throw error;
}

async function takeAgain() {
  try {
    await show(await post(`tasks/${encodeURIComponent(task.task)}/again`));
  } catch (error) {
    notice(`The image cannot be taken again: ${error.message} Your drawing is kept on this computer.`, { alarm: true, stays: true, actions: [h("button", { onclick: () => takeAgain() }, "Try again"), h("button", { class: "primary", onclick: () => start() }, "Next image")] });
  }
}

// ---- a task ends ----

/** Send a request that ends the task. Requests about its draft are canceled: the server would refuse them afterwards. */
async function endTask(send) {
  journal?.suspend();
  try {
    return await send();
  } catch (error) {
    if (!(error instanceof HttpError && error.status === 410)) journal?.resume(); // 410: the task has ended already
    throw error;
  }
}

async function submit() {
  if (submitting || closed || !task || !editor) return;
  if (editor.localName === "crowd-semantic-segmentation" && !editor.map?.counts) return; // the image is not loaded yet
  const lacking = editor.lacks?.();
  if (lacking) return notice(lacking, { alarm: true });
  await editor.finishPending?.();
  const empty = editor.localName === "crowd-semantic-segmentation" && editor.map.counts[0] === editor.map.data.length;
  if (empty && !(await confirmDialog("Nothing is labeled", "Submit this image as it is, without any label?", "Submit without labels"))) return;
  if (closed) return; // while the dialog was open
  submitting = true;
  page.submit.textContent = "Sending…";
  try {
    setOpen(false); // later drawing would not be in the answer
    const body = { answer: await form.answer(), active: activity.take(), revisable: true };
    await endTask(() => retry(() => post(`tasks/${encodeURIComponent(task.task)}/answer`, body), (n, seconds) => {
      notice(`Not sent yet: the server does not answer. Your work is kept here; next try in ${seconds} s.`, { alarm: true });
    }));
    await journal.discard();
    editor.discard?.();
    await start(); // later errors do not concern the answer
  } catch (error) {
    if (error instanceof HttpError && error.status === 410) timeOut(`The answer was not taken: ${error.message}`);
    else {
      setOpen(!closed);
      notice(`The answer was not taken: ${error.message}`, { alarm: true, actions: error instanceof HttpError ? [h("button", { onclick: () => start() }, "Next image")] : [] });
    }
  } finally {
    submitting = false;
    page.submit.textContent = submitWord();
  }
}

function confirmDialog(title, text, yes) {
  return new Promise((resolve) => {
    const dialog = openDialog(title, h("p", {}, text), h("p", { class: "actions" },
      h("button", { class: "primary", onclick: () => { resolve(true); dialog.close(); } }, yes), h("button", { onclick: () => dialog.close() }, "Go back")));
    dialog.addEventListener("close", () => resolve(false));
  });
}

function decline() {
  if (!task || closed) return;
  const reason = h("textarea", { id: "reason", rows: "3", maxlength: "500", required: true, placeholder: "The image does not load, shows nothing of this kind, …" });
  const problem = h("p", { class: "alarm", role: "alert" });
  const send = async (event) => {
    event.preventDefault();
    if (!reason.value.trim()) return (problem.textContent = "Enter a reason; the owner of the job reads it.");
    try {
      await endTask(() => post(`tasks/${encodeURIComponent(task.task)}/decline`, { reason: reason.value.trim() }));
      await journal?.discard();
      editor?.discard?.();
      dialog.close();
      return start();
    } catch (error) {
      if (error instanceof HttpError && error.status === 410) return timeOut(error.message);
      return (problem.textContent = `The image was not declined: ${error.message}`);
    }
  };
  const dialog = openDialog("Decline this image", h("form", { onsubmit: send }, h("label", { for: "reason" }, "Why can it not be labeled?"), reason, problem,
    h("p", { class: "actions" }, h("button", { class: "primary" }, "Decline"), h("button", { type: "button", onclick: () => dialog.close() }, "Go back"))));
  reason.focus();
}

// ---- the page ----

async function start() {
  try {
    await next();
  } catch (error) {
    showText(task ? "This task cannot be shown" : "No image for now", error.message, home(), h("button", { onclick: () => start() }, "Try again"), task ? h("button", { onclick: decline }, "Decline it") : null);
  }
}

page.submit.addEventListener("click", submit);
page.decline.addEventListener("click", decline);
page.instructions.addEventListener("click", () => editor?.showInstructions());
page.previous.addEventListener("click", previous);
page.keep.addEventListener("click", keepAnswer);
page.skip.addEventListener("click", skip);
page.ask.addEventListener("click", () => questions?.ask());
document.addEventListener("previous-wanted", previous);
document.addEventListener("skip-wanted", skip);
document.addEventListener("ask-wanted", () => questions?.ask());
function showMenu(open) {
  document.body.classList.toggle("menu-open", open);
  page.more.setAttribute("aria-expanded", String(open));
}
page.more.addEventListener("click", (event) => {
  event.stopPropagation();
  showMenu(!document.body.classList.contains("menu-open"));
});
document.addEventListener("click", () => showMenu(false));
document.addEventListener("keydown", (event) => event.key === "Escape" && showMenu(false));
page.keys.addEventListener("click", () => editor?.showSheet());
document.addEventListener("submit-wanted", submit);
document.addEventListener("submit", (event) => event.preventDefault());
window.addEventListener("offline", () => closed || notice("There is no network connection. You can continue drawing; your work is saved on this computer.", { alarm: true }));
window.addEventListener("online", () => closed || notice(""));
const wanted = new URLSearchParams(location.search).get("revise");
if (wanted) {
  history.replaceState(null, "", location.pathname);
  openSubmitted(wanted).catch((error) => showText("This answer cannot be changed", error.message, home(), h("button", { onclick: () => start() }, "Next image")));
} else start();
