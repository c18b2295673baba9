// A worker's submitted answers of a job, which can be reopened until consolidation, and their questions.

import { get, retry, post } from "./api.js";
import { h } from "./annotate/dom.js";
import { ago, duration } from "./words.js";

const at = Object.fromEntries([...document.querySelectorAll("[id]")].map((element) => [element.id, element]));
const job = decodeURIComponent(location.pathname.split("/").pop());
const jobPath = `jobs/${encodeURIComponent(job)}`;

async function change(answer) {
  try {
    await post(`tasks/${encodeURIComponent(answer.task)}/revise`);
    location.assign(`/_portal/work/${encodeURIComponent(job)}?revise=${encodeURIComponent(answer.task)}`);
  } catch (error) {
    at.status.textContent = error.message;
    await show();
  }
}

function card(answer, kind) {
  const source = `/_portal/api/tasks/${encodeURIComponent(answer.task)}`;
  const mask = kind === "verification" ? `${source}/annotation` : `${source}/submission`;
  const file = answer.uri.split("/").pop();
  const verdict = h("p", {});
  if (kind === "verification") get(`tasks/${encodeURIComponent(answer.task)}/verdict`).then((found) => verdict.replaceChildren(h("strong", {}, found.label ?? ""), found.workerComment ? h("q", {}, ` ${found.workerComment}`) : "")).catch(() => {});
  return h("article", { class: "card" },
    h("div", { class: "layered" }, h("img", { src: `${source}/image`, alt: `${file} with your answer`, loading: "lazy" }), kind === "verification" ? "" : h("img", { src: `${mask}?upright=1&v=${answer.submitted}`, alt: "", loading: "lazy" })),
    h("h2", {}, file), kind === "verification" ? verdict : "",
    h("p", { class: "faint number" }, `${ago(answer.submitted)} · ${duration(answer.seconds)}`),
    answer.comment ? h("p", {}, "The owner: ", h("q", {}, answer.comment)) : "",
    answer.state === "done" ? h("p", { class: "faint" }, "Done: it cannot be changed any more") : h("p", {}, h("button", { type: "button", class: "primary", "aria-label": `Change ${file}`, onclick: () => change(answer) }, "Change")));
}

async function show() {
  const wait = (n, seconds) => (at.status.textContent = `The server does not answer. Next try in ${seconds} s.`);
  const [found, { questions }] = await Promise.all([retry(() => get(`${jobPath}/submitted`), wait), retry(() => get(`${jobPath}/questions`), wait)]);
  at.job.textContent = found.job;
  at.status.textContent = found.answers.length ? "" : "Nothing yet.";
  at.answers.replaceChildren(...found.answers.map((answer) => card(answer, found.kind)));
  at.asked.hidden = !questions.length;
  at.questions.replaceChildren(...questions.map((q) => h("div", {}, h("p", {}, h("span", { class: "faint" }, `${q.file}, ${ago(q.asked)}: `), q.question), h("p", {}, h("strong", {}, q.answer === null ? "Not answered yet." : `Answer: ${q.answer}`)))));
}

show().catch((error) => (at.status.textContent = error.message));

document.body.inert = false; // before this, clicks have no handlers
