"""Scores of the workers on the gold images of a job, for the owner's page."""

from __future__ import annotations

import json
import statistics
from typing import Any

import numpy as np

from gtseg.local.labeling.answers import read_answer
from gtseg.local.labeling.gold import VOID, count_gold, gold_key, read_index_mask
from gtseg.local.labeling.portal.agreement import count_pixels, measure_overlap
from gtseg.local.labeling.records import Job
from gtseg.local.storage.store import Store

SCORED = 40
"""Answers scored per request, to bound the time that a request spends decoding PNG files."""


def describe_gold(store: Store, job: Job) -> dict[str, Any]:
    """Return {"gold": {"images", "workers": [{"worker", "name", "seen", "scored", "iou"}]}}; {} without gold images.

    `seen` is the number of gold images that the worker answered, `iou` the mean IoU over the `scored` ones, or None.
    """
    images = count_gold(store, job)
    if not images:
        return {}
    score_answers(store, job)
    rows = store.read().execute(
        "SELECT t.worker, coalesce(w.name, t.worker) AS name, s.iou FROM labeling_tasks t "
        "LEFT JOIN labeling_workers w ON w.id = t.worker "
        "LEFT JOIN labeling_gold_scores s ON s.task = t.id AND s.digest = t.digest "
        "WHERE t.job = ? AND t.state = 'answered' ORDER BY name, t.worker", (gold_key(job.name),),
    ).fetchall()  # fmt: skip
    found: dict[tuple[str, str], list[float | None]] = {}
    for row in rows:
        found.setdefault((row["worker"], row["name"]), []).append(row["iou"])
    people = []
    for (worker, name), scores in found.items():
        known = [score for score in scores if score is not None]
        mean = statistics.fmean(known) if known else None
        people.append({"worker": worker, "name": name, "seen": len(scores), "scored": len(known), "iou": mean})
    return {"gold": {"images": images, "workers": people}}


def score_answers(store: Store, job: Job, *, limit: int = SCORED) -> None:
    """Score at most `limit` answers that have no score or changed since they were scored."""
    rows = store.read().execute(
        "SELECT t.id, t.digest, a.content, g.mask FROM labeling_tasks t "
        "JOIN labeling_answers a ON a.job = t.job AND a.line = t.line AND a.worker = t.worker "
        "JOIN labeling_gold g ON g.job = t.job AND g.line = t.line "
        "LEFT JOIN labeling_gold_scores s ON s.task = t.id AND s.digest = t.digest "
        "WHERE t.job = ? AND t.state = 'answered' AND s.task IS NULL LIMIT ?", (gold_key(job.name), limit),
    ).fetchall()  # fmt: skip
    made = [(row["id"], row["digest"], score(row["content"], row["mask"], job)) for row in rows]
    if made:
        with store.write() as connection:
            connection.executemany("INSERT OR REPLACE INTO labeling_gold_scores VALUES (?, ?, ?)", made)


def score(content: str, png: bytes, job: Job) -> float:
    """Return the mean IoU over the classes other than background, as in `measure_overlap`, without the void pixels."""
    known = read_index_mask(png)
    answer = read_answer(json.loads(content), job.labels, (known.shape[1], known.shape[0]))
    counted = known != VOID
    return measure_overlap(count_pixels(np.asarray(answer)[counted], known[counted]))
