"""Inter-annotator agreement of a job, measured from per-class pixel counts of pairs of answers.

The counts of each pair of answers for one object are computed once and stored; all scores derive from them. The overlap
of two answers is the mean IoU over the classes other than background that at least one of them holds; it is 1 if
neither holds any. The agreement of an object is the mean over its pairs, that of a job the mean over its objects, and
that of a worker the overlap of the pixel counts summed over all pairs of the worker. `gtseg agreement` computes the
same from the worker-response files.
"""

from __future__ import annotations

import json
import statistics
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gtseg.local.labeling.answers import read_answer
from gtseg.local.labeling.records import Job
from gtseg.local.labeling.revisions import read_content
from gtseg.local.storage.objects import Objects, StorageUnavailable
from gtseg.local.storage.store import Store

DDL = """
CREATE TABLE IF NOT EXISTS portal_pairs (
    job TEXT NOT NULL, line INTEGER NOT NULL, first TEXT NOT NULL, second TEXT NOT NULL, stamp REAL NOT NULL,
    pixels TEXT NOT NULL, PRIMARY KEY (job, line, first, second)) WITHOUT ROWID;
DROP TABLE IF EXISTS portal_agreement;
"""
AGREEMENT_PAIRS = 40
"""Pairs of answers compared per request, to bound the time that a request spends decoding PNG files."""

Pixels = Mapping[int, tuple[int, int]]
"""Class index -> (pixels that both answers hold, pixels that at least one holds). Classes with no pixels are left out.
"""


@dataclass(frozen=True)
class Pair:
    """Two workers' answers for one object (`line` of the manifest), with their pixel counts."""

    line: int
    first: str
    second: str
    stamp: float
    """Submission time of the later answer, in seconds since the epoch."""
    pixels: Pixels

    @property
    def iou(self) -> float:
        return measure_overlap(self.pixels)


def count_pixels(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> dict[int, tuple[int, int]]:
    """Return the intersection and union of each class, in pixels, of two (H, W) uint8 masks of class indices."""
    one, other = (np.bincount(mask.reshape(-1), minlength=256) for mask in (first, second))
    both = np.bincount(first[first == second], minlength=256)
    return {
        int(index): (int(both[index]), int(one[index] + other[index] - both[index]))
        for index in np.flatnonzero(one + other)
    }


def measure_overlap(pixels: Pixels) -> float:
    """Return the mean IoU of the classes other than background; 1.0 if there are none."""
    shares = [both / either for index, (both, either) in sorted(pixels.items()) if index]
    return statistics.fmean(shares) if shares else 1.0


def add_pixels(parts: Iterable[Pixels]) -> dict[int, tuple[int, int]]:
    """Return the pixel counts summed over all pairs."""
    both: Counter[int] = Counter()
    either: Counter[int] = Counter()
    for part in parts:
        for index, (shared, united) in part.items():
            both[index] += shared
            either[index] += united
    return {index: (both[index], either[index]) for index in either}


def read_pairs(store: Store, job: Job) -> list[Pair]:
    """Return the stored pairs of which both answers are still current."""
    rows = store.read().execute(
        "SELECT p.line, p.first, p.second, p.stamp, p.pixels FROM portal_pairs p WHERE p.job = ? AND "
        "(SELECT count(*) FROM labeling_tasks t WHERE t.job = p.job AND t.line = p.line "
        "AND t.worker IN (p.first, p.second) AND t.state = 'answered') = 2",
        (job.name,),
    )
    return [
        Pair(
            row["line"],
            row["first"],
            row["second"],
            row["stamp"],
            {index: (both, either) for index, both, either in json.loads(row["pixels"])},
        )
        for row in rows
    ]


def update_agreement(store: Store, objects: Objects, job: Job, *, limit: int = AGREEMENT_PAIRS) -> list[Pair]:
    """Compare at most `limit` pairs of answers not compared yet, store the counts, and return all current pairs."""
    if job.is_verification:  # the answers are verdicts, without masks
        return []
    known = {(pair.line, pair.first, pair.second, pair.stamp) for pair in read_pairs(store, job)}
    lines: dict[int, list[Any]] = {}
    query = (
        "SELECT t.line, t.worker, t.ended AS submitted FROM labeling_tasks t WHERE t.job = ? AND t.state = 'answered' "
        "AND t.line IN (SELECT line FROM labeling_tasks WHERE job = ? AND state = 'answered' "
        "GROUP BY line HAVING count(*) > 1) AND NOT EXISTS "
        "(SELECT 1 FROM labeling_suggestions s WHERE s.task = t.id AND s.model IS NOT NULL) ORDER BY t.line, t.worker"
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
            except StorageUnavailable:  # show what is stored; the rest is compared when storage is reachable again
                break
    with store.write() as connection:
        connection.executemany(
            "INSERT OR REPLACE INTO portal_pairs VALUES (?, ?, ?, ?, ?, ?)",
            [
                (job.name, p.line, p.first, p.second, p.stamp, json.dumps([(k, *v) for k, v in p.pixels.items()]))
                for p in made
            ],
        )
    return read_pairs(store, job)


def compare(store: Store, objects: Objects, job: Job, line: int, *, pairs: Sequence[tuple[Any, Any]]) -> list[Pair]:
    """Read the masks of one object's answers, each once, and count the pixels of the given pairs of task rows."""
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
            count_pixels(masks[a["worker"]], masks[b["worker"]]),
        )
        for a, b in pairs
    ]


def read_mask(store: Store, objects: Objects, job: Job, line: int, *, worker: str) -> NDArray[np.uint8]:
    """Return the answer of one worker as an (H, W) uint8 mask of class indices."""
    row = (
        store.read()
        .execute("SELECT width, height FROM labeling_objects WHERE job = ? AND line = ?", (job.name, line))
        .fetchone()
    )
    return read_answer(
        read_content(store, objects, job, line, worker=worker), job.labels, (row["width"], row["height"])
    )


def mean_by_worker(pairs: Sequence[Pair]) -> dict[str, float]:
    """Return each worker's overlap with the other workers: pixel counts summed over all pairs of the worker."""
    parts: dict[str, list[Pixels]] = {}
    for pair in pairs:
        for worker in (pair.first, pair.second):
            parts.setdefault(worker, []).append(pair.pixels)
    return {worker: measure_overlap(add_pixels(found)) for worker, found in parts.items()}


def mean_by_line(pairs: Sequence[Pair]) -> dict[int, float]:
    """Return the mean IoU over the pairs of each object."""
    lines: dict[int, list[float]] = {}
    for pair in pairs:
        lines.setdefault(pair.line, []).append(pair.iou)
    return {line: statistics.fmean(values) for line, values in lines.items()}


def mean_by_job(pairs: Sequence[Pair]) -> float | None:
    """Return the mean over the objects that several workers labeled; None if there are none."""
    lines = mean_by_line(pairs)
    return statistics.fmean(lines.values()) if lines else None
