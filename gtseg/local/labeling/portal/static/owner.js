// All labeling jobs, for their owner.

import { call, get, insist } from "./api.js";
import { h } from "./annotate/dom.js";
import { jobMeter, jobState } from "./progress.js";
import { ago } from "./words.js";

const status = document.getElementById("status");

function card(job) {
  return h("article", { class: "card job" },
    h("h2", {}, h("a", { href: `/_portal/owner/jobs/${encodeURIComponent(job.name)}` }, job.name)),
    h("div", { class: "go" }, jobState(job)),
    h("p", { class: "about" }, `${job.title} · ${ago(job.created)}`),
    jobMeter(job.counts));
}

async function show() {
  const { jobs } = await insist(() => get("owner/jobs"), (n, seconds) => (status.textContent = `The server does not answer. Next try in ${seconds} s.`));
  status.textContent = jobs.length ? "" : "There is no labeling job yet. `gtseg label` makes one.";
  document.getElementById("jobs").replaceChildren(...jobs.map(card));
}

document.getElementById("leave").addEventListener("click", async () => location.assign((await call("DELETE", "session")).to));
show();
setInterval(() => document.visibilityState === "visible" && show(), 10_000);
