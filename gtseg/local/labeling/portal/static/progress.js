// @ts-check
// Progress of a job: a meter and its state in words.

import { h } from "./annotate/dom.js";

export function jobMeter(counts, done = "labeled") {
  const total = Math.max(1, counts.total - counts.skipped);
  const width = (n) => ({ width: `${(100 * n) / total}%` });
  const words = `${counts.labeled} of ${total} objects ${done}` + (counts.machine ? ` (${counts.machine} by a model)` : "") + (counts.failed ? `, ${counts.failed} failed` : "") + (counts.in_hand ? `, ${counts.in_hand} in hand` : "");
  return h("div", { style: { gridColumn: "1 / -1" } },
    h("div", { class: "meter", role: "meter", "aria-label": words, "aria-valuemin": "0", "aria-valuemax": String(total), "aria-valuenow": String(counts.labeled) },
      h("i", { style: width(counts.labeled) }), h("i", { class: "wrong", style: width(counts.failed) }), h("i", { class: "open", style: width(Math.min(counts.in_hand, total)) })),
    h("p", { class: "faint number" }, words));
}

export function jobState(job) {
  const words = { InProgress: "In progress", Initializing: "Starting" }[job.status] ?? job.status;
  return h("strong", { class: job.status === "Failed" ? "alarm" : "" }, job.status === "Completed" && job.counts.failed ? "Complete with labeling errors" : words);
}
