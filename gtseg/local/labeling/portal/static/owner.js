// The owner's list of labeling jobs and workers.

import { call, get, retry, post } from "./api.js";
import { h } from "./annotate/dom.js";
import { jobMeter, jobState } from "./progress.js";
import { ago, describeStorage } from "./words.js";

const status = document.getElementById("status");
const away = document.getElementById("storage");

function card(job) {
  return h("article", { class: "card job" },
    h("h2", {}, h("a", { href: `/_portal/owner/jobs/${encodeURIComponent(job.name)}` }, job.name)),
    h("div", { class: "go" }, jobState(job)),
    h("p", { class: "about" }, `${job.title} · ${ago(job.created)}`, job.questions ? h("strong", {}, ` · ${job.questions} ${job.questions === 1 ? "question" : "questions"} to answer`) : ""),
    jobMeter(job.counts, job.kind === "verification" ? "judged" : "labeled"));
}

async function show() {
  const { jobs, storage } = await retry(() => get("owner/jobs"), (n, seconds) => (status.textContent = `The server does not answer. Next try in ${seconds} s.`));
  away.textContent = describeStorage(storage);
  status.textContent = jobs.length ? "" : "There is no labeling job yet. `gtseg label` makes one.";
  document.getElementById("jobs").replaceChildren(...jobs.map(card));
}

// ---- people ----

const at = Object.fromEntries(["workers", "add", "person", "team", "problem", "given"].map((id) => [id, document.getElementById(id)]));

async function showPeople() {
  const { workers, teams } = await retry(() => get("owner/workers"));
  if (at.team.options.length !== teams.length) at.team.replaceChildren(...teams.map((team) => h("option", {}, team)));
  at.team.closest("label").hidden = teams.length < 2;
  const row = (w) => h("tr", {}, h("th", { scope: "row" }, w.name), h("td", {}, w.team), h("td", {}, w.simulated ? "simulated" : w.state),
    h("td", { class: "acts" }, h("button", { type: "button", "aria-label": `${w.state === "paused" ? "Resume" : "Pause"} ${w.name}`, onclick: () => setState(w) }, w.state === "paused" ? "Resume" : "Pause")));
  at.workers.replaceChildren(workers.length
    ? h("table", {}, h("thead", {}, h("tr", {}, ...["Name", "Team", "State"].map((head) => h("th", { scope: "col" }, head)), h("td", {}))), h("tbody", {}, ...workers.map(row)))
    : h("p", { class: "faint" }, "No workers yet. Add a person and send them their link."));
}

/** A paused worker gets no more tasks, but can submit leased ones. */
async function setState(worker) {
  await post(`owner/workers/${worker.worker_id}`, { state: worker.state === "paused" ? "active" : "paused" });
  await showPeople();
}

// The link is shown only once, because the server stores only its digest.
at.add.addEventListener("submit", async (event) => {
  event.preventDefault();
  at.problem.textContent = "";
  const name = at.person.value.trim();
  try {
    await known;
    const { token } = await post("owner/workers", { name, team: at.team.value });
    const link = `${location.origin}/_portal/signin#${token}`;
    const copy = h("button", { type: "button", onclick: async () => { await navigator.clipboard?.writeText(link); copy.textContent = navigator.clipboard ? "Copied" : "Select it to copy"; } }, "Copy");
    at.given.replaceChildren(h("div", { class: "given" }, h("p", {}, `${name}'s personal link. It is shown only now; anyone who has it can work as ${name}.`), h("code", {}, link), h("p", {}, copy)));
    at.person.value = "";
    await showPeople();
  } catch (error) {
    at.problem.textContent = error.message;
  }
});

document.getElementById("leave").addEventListener("click", async () => location.assign((await call("DELETE", "session")).to));
show();
const known = showPeople();
setInterval(() => document.visibilityState === "visible" && show(), 10_000);

document.body.inert = false; // before this, clicks have no handlers
