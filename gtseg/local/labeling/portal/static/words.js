// @ts-check
// Formatting of durations, times and percentages.

export function duration(seconds) {
  if (seconds === null || seconds === undefined) return "–";
  if (seconds < 1) return "under 1 s";
  if (seconds < 90) return `${Math.round(seconds)} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  return `${(seconds / 3600).toFixed(1)} h`;
}

export function ago(epoch) {
  return epoch ? `${duration(Math.max(0, Date.now() / 1000 - epoch))} ago` : "–";
}

export function percent(share) {
  return share === null || share === undefined ? "–" : `${(100 * share).toFixed(1)}%`;
}

/** Why the storage is unavailable and how much waits for it; "" if it is available. */
export function describeStorage(storage) {
  if (!storage || storage.reachable) return "";
  const waiting = storage.waiting === 1 ? "1 labeled image waits" : `${storage.waiting} labeled images wait`;
  return `The storage cannot be reached since ${storage.since.slice(11, 16)} UTC: ${storage.reason}. Answers are kept here; ${waiting} to be written.`;
}
