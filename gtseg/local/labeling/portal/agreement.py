"""How well workers agree: IoU of every two answers for one object, computed once and kept."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gtseg.local.labeling.answers import read_answer
from gtseg.local.labeling.records import Job
from gtseg.local.labeling.revisions import read_content
from gtseg.local.storage.objects import Objects, StorageAway
from gtseg.local.storage.store import Store

__all__ = [
    "DDL",
    "mean_by_line",
    "mean_by_worker",
    "measure_iou",
    "read_pairs",
    "update_agreement",
]

DDL = """
CREATE TABLE IF NOT EXISTS portal_agreement (
    job TEXT NOT NULL, line INTEGER NOT NULL, first TEXT NOT NULL, second TEXT NOT NULL, stamp REAL NOT NULL, iou REAL NOT NULL,
    PRIMARY KEY (job, line, first, second)) WITHOUT ROWID;
"""
AGREEMENT_PAIRS = 40  # pairs of answers compared per request: a job page never waits for thousands of PNGs


@dataclass(frozen=True)
class Pair:
    line: int
    first: str
    second: str
    stamp: float  # of the later answer
    iou: float


def measure_iou(first: NDArray[np.uint8], second: NDArray[np.uint8], classes: int) -> float:
    """Mean IoU of two (H, W) index masks over the classes (background among them) that either holds."""
    matrix = np.bincount(
        first.reshape(-1).astype(np.int64) * (classes + 1) + second.reshape(-1), minlength=(classes + 1) ** 2
    )
    matrix = matrix.reshape(classes + 1, classes + 1)
    both = np.diag(matrix).astype(float)
    either = matrix.sum(0) + matrix.sum(1) - both
    return float(np.mean(both[either > 0] / either[either > 0]))


def read_pairs(store: Store, job: Job) -> list[Pair]:
    rows = store.read().execute(
        "SELECT line, first, second, stamp, iou FROM portal_agreement WHERE job = ?", (job.name,)
    )
    return [Pair(**dict(row)) for row in rows]


def update_agreement(store: Store, objects: Objects, job: Job, *, limit: int = AGREEMENT_PAIRS) -> list[Pair]:
    """Compare what has not been compared, at most `limit` pairs of answers. -> all pairs known now."""
    if job.is_verification:  # words on masks, no masks
        return []
    known = {(pair.line, pair.first, pair.second, pair.stamp) for pair in read_pairs(store, job)}
    lines: dict[int, list[Any]] = {}
    query = (
        "SELECT line, worker, ended AS submitted FROM labeling_tasks WHERE job = ? AND state = 'answered' AND line IN "
        "(SELECT line FROM labeling_tasks WHERE job = ? AND state = 'answered' GROUP BY line HAVING count(*) > 1) ORDER BY line, worker"
    )
    for row in store.read().execute(query, (job.name, job.name)):
        lines.setdefault(row["line"], []).append(row)
    made: list[Pair] = []
    for line, rows in lines.items():
        missing = [
            (a, b)
            for a, b in combinations(rows, 2)
            if (line, a["worker"], b["worker"], max(a["submitted"], b["submitted"])) not in known
        ]
        if missing and len(made) < limit:
            try:
                made += compare(store, objects, job, line, pairs=missing)
            except StorageAway:  # the page shows what is known; the rest is compared when it is back
                break
    with store.write() as connection:
        rows_to_keep = [(job.name, p.line, p.first, p.second, p.stamp, p.iou) for p in made]
        connection.executemany(
            "INSERT OR REPLACE INTO portal_agreement VALUES (?, ?, ?, ?, ?, ?)", rows_to_keep
        )
    return read_pairs(store, job)


def compare(
    store: Store, objects: Objects, job: Job, line: int, *, pairs: Sequence[tuple[Any, Any]]
) -> list[Pair]:
    masks = {
        worker: read_mask(store, objects, job, line, worker=worker)
        for worker in {row["worker"] for pair in pairs for row in pair}
    }
    return [
        Pair(
            line,
            a["worker"],
            b["worker"],
            max(a["submitted"], b["submitted"]),
            measure_iou(masks[a["worker"]], masks[b["worker"]], len(job.labels)),
        )
        for a, b in pairs
    ]


def read_mask(store: Store, objects: Objects, job: Job, line: int, *, worker: str) -> NDArray[np.uint8]:
    row = (
        store.read()
        .execute("SELECT width, height FROM labeling_objects WHERE job = ? AND line = ?", (job.name, line))
        .fetchone()
    )
    return read_answer(
        read_content(store, objects, job, line, worker=worker), job.labels, (row["width"], row["height"])
    )


def mean_by_worker(pairs: Sequence[Pair]) -> dict[str, float]:
    scores: dict[str, list[float]] = {}
    for pair in pairs:
        for worker in (pair.first, pair.second):
            scores.setdefault(worker, []).append(pair.iou)
    return {worker: statistics.fmean(values) for worker, values in scores.items()}


def mean_by_line(pairs: Sequence[Pair]) -> dict[int, float]:
    lines: dict[int, list[float]] = {}
    for pair in pairs:
        lines.setdefault(pair.line, []).append(pair.iou)
    return {line: statistics.fmean(values) for line, values in lines.items()}
