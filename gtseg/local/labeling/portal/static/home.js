// The list of a worker's jobs with progress and pace.

import { get, call, retry } from "./api.js";
import { h } from "./annotate/dom.js";
import { duration } from "./words.js";

const status = document.getElementById("status");
const list = document.getElementById("jobs");

function jobCard(job) {
  const left = job.available;
  const rest = left + job.later ? `, about ${duration((left + job.later) * job.median_seconds)} for what is left` : "";
  const open = left ? `${left + job.later} left for you` : job.later ? `nothing for you now, ${job.later} more to come` : "nothing left for you";
  const pace = job.median_seconds ? `your pace: ${duration(job.median_seconds)} an image${rest}` : null;
  const facts = [`${job.answered} done by you`, open, pace].filter(Boolean).join(" · ");
  return h("article", { class: "card job" },
    h("h2", {}, job.title),
    h("div", { class: "go" }, left ? h("a", { class: "button primary", href: `/_portal/work/${encodeURIComponent(job.job)}` }, job.answered ? "Continue" : "Start") : h("span", { class: "faint" }, job.later ? "Nothing now" : "Done")),
    h("p", { class: "about" }, job.description),
    h("p", { class: "number" }, facts, ...links(job)),
    meter(job));
}

/** Links to submitted answers, unread answers of the owner, and returned answers. */
function links(job) {
  const to = `/_portal/submitted/${encodeURIComponent(job.job)}`;
  return [
    job.answered || job.asked ? h("span", {}, " · ", h("a", { href: to }, "What you submitted")) : null,
    job.unread ? h("span", {}, " · ", h("a", { href: to }, h("strong", {}, `${job.unread} new ${job.unread === 1 ? "answer" : "answers"} of the owner`))) : null,
    job.returned ? h("span", {}, " · ", h("strong", {}, `${job.returned} sent back to you`)) : null,
  ];
}

function meter({ answered, available, later }) {
  const whole = answered + available + later || 1;
  return h("div", { class: "meter", role: "meter", "aria-label": "Done", "aria-valuemin": "0", "aria-valuemax": String(whole), "aria-valuenow": String(answered) },
    h("i", { style: { width: `${(100 * answered) / whole}%` } }));
}

async function show() {
  const [{ jobs }, paces] = await Promise.all([
    retry(() => get("jobs"), (n, seconds) => (status.textContent = `The server does not answer. Next try in ${seconds} s.`)),
    get("pace").catch(() => ({ pace: {} })),
  ]);
  status.textContent = jobs.length ? "" : "No job is open to your team now. This page refreshes automatically.";
  list.replaceChildren(...jobs.map((job) => jobCard({ ...job, median_seconds: paces.pace[job.job.toLowerCase()] })));
}

document.getElementById("leave").addEventListener("click", async () => {
  const { to } = await call("DELETE", "session");
  location.assign(to);
});
show();
setInterval(() => document.visibilityState === "visible" && show(), 20_000);

document.body.inert = false; // before this, clicks have no handlers
