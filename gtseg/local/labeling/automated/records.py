"""Records of automated labeling: its rounds, and the objects in a sample or labeled by a model.

In a round, workers label a sample, a model is trained, it scores the other objects, a threshold is chosen, and the
objects above it are labeled by the model.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from gtseg.local.labeling.records import Job
from gtseg.local.storage.store import Store

# labeling_rounds.step: people -> train -> score -> choose -> label -> done. labeling_samples.part: training |
# validation (labeled by workers), machine (labeled by a model). `gone`: the round in which a validation object was
# above the threshold or would have been sampled; later models are not evaluated on it.
DDL = """
CREATE TABLE IF NOT EXISTS labeling_rounds (
    job TEXT NOT NULL, round INTEGER NOT NULL, step TEXT NOT NULL, model TEXT, threshold REAL, bound REAL,
    objects INTEGER, stamp REAL, PRIMARY KEY (job, round)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS labeling_samples (
    job TEXT NOT NULL, line INTEGER NOT NULL, round INTEGER NOT NULL, part TEXT NOT NULL, gone INTEGER,
    PRIMARY KEY (job, line)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS labeling_samples_by_part ON labeling_samples (job, part, round);
"""
TRAINING, VALIDATION, MACHINE = "training", "validation", "machine"


@dataclass(frozen=True)
class Round:
    """A round. `threshold` is None before it is chosen, and if no threshold is good enough (then `objects` is 0)."""

    number: int
    step: str
    model: str | None
    """ARN of the model trained in this round."""
    threshold: float | None
    bound: float | None
    objects: int | None
    stamp: float | None


def find_round(store: Store, job: Job) -> Round | None:
    """Return the current round of a job; None before the first."""
    row = (
        store.read()
        .execute("SELECT * FROM labeling_rounds WHERE job = ? ORDER BY round DESC LIMIT 1", (job.name,))
        .fetchone()
    )
    if row is None:
        return None
    return Round(
        row["round"],
        row["step"],
        row["model"],
        row["threshold"],
        row["bound"],
        row["objects"],
        row["stamp"],
    )


def advance(
    connection: sqlite3.Connection,
    job: Job,
    current: Round,
    *,
    step: str,
    **values: str | float | int | None,
) -> None:
    """Move a round from its step to the next, and store `values` in columns of labeling_rounds."""
    columns = "".join(f", {name} = ?" for name in values)
    connection.execute(
        f"UPDATE labeling_rounds SET step = ?{columns} WHERE job = ? AND round = ? AND step = ?",
        (step, *values.values(), job.name, current.number, current.step),
    )


def list_sample(store: Store, job: Job, part: str, *, state: str = "labeled") -> list[sqlite3.Row]:
    """Return the objects of a part in a state, in the manifest's order, with their `gone` column."""
    query = (
        "SELECT o.*, s.gone FROM labeling_samples s JOIN labeling_objects o ON o.job = s.job AND o.line = s.line "
        "WHERE s.job = ? AND s.part = ? AND o.state = ? ORDER BY o.line"
    )
    return store.read().execute(query, (job.name, part, state)).fetchall()


def count_machine(store: Store, name: str) -> int:
    """Return the number of a job's objects labeled by a model."""
    query = "SELECT count(*) FROM labeling_samples WHERE job = ? AND part = ?"
    count: int = store.read().execute(query, (name, MACHINE)).fetchone()[0]
    return count


def find_final_model(store: Store, name: str) -> str | None:
    """Return the ARN of the latest model of the job; None if there is none."""
    query = "SELECT model FROM labeling_rounds WHERE job = ? AND model IS NOT NULL ORDER BY round DESC LIMIT 1"
    row = store.read().execute(query, (name,)).fetchone()
    return row["model"] if row else None
