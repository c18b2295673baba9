"""What automated labeling keeps: its rounds, and which objects are in a sample or were labeled by a model.

A round is: people label a sample, a model is trained, it scores, a threshold is chosen, what lies above it is labeled.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from gtseg.local.labeling.records import Job
from gtseg.local.storage.store import Store

__all__ = [
    "DDL",
    "MACHINE",
    "TRAINING",
    "VALIDATION",
    "Round",
    "advance",
    "count_machine",
    "find_final_model",
    "find_round",
    "list_sample",
]  # fmt: skip

# labeling_rounds.step: people -> train -> score -> choose -> label -> done
# labeling_samples.part: training | validation (people label them), machine (a model did). `gone`: the round in which a
# validation object would have been labeled or taken to people; later models are not judged by it.
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
    """`threshold` None before it was chosen, and where nothing lies above one (`objects` is 0 then)."""

    number: int
    step: str
    model: str | None
    """The ARN of the model that was trained in this round."""
    threshold: float | None
    bound: float | None
    objects: int | None
    stamp: float | None


def find_round(store: Store, job: Job) -> Round | None:
    """The round that a job is in; None before the first."""
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
    """Take a round from its step to the next one, with what was found out. Values are columns of labeling_rounds."""
    columns = "".join(f", {name} = ?" for name in values)
    connection.execute(
        f"UPDATE labeling_rounds SET step = ?{columns} WHERE job = ? AND round = ? AND step = ?",
        (step, *values.values(), job.name, current.number, current.step),
    )


def list_sample(store: Store, job: Job, part: str, *, state: str = "labeled") -> list[sqlite3.Row]:
    """The objects of a part in a state, in the manifest's order; `gone` beside them."""
    query = (
        "SELECT o.*, s.gone FROM labeling_samples s JOIN labeling_objects o ON o.job = s.job AND o.line = s.line "
        "WHERE s.job = ? AND s.part = ? AND o.state = ? ORDER BY o.line"
    )
    return store.read().execute(query, (job.name, part, state)).fetchall()


def count_machine(store: Store, name: str) -> int:
    """How many objects of a job a model has labeled."""
    query = "SELECT count(*) FROM labeling_samples WHERE job = ? AND part = ?"
    count: int = store.read().execute(query, (name, MACHINE)).fetchone()[0]
    return count


def find_final_model(store: Store, name: str) -> str | None:
    """The ARN of the model of the last round that has one."""
    query = "SELECT model FROM labeling_rounds WHERE job = ? AND model IS NOT NULL ORDER BY round DESC LIMIT 1"
    row = store.read().execute(query, (name,)).fetchone()
    return row["model"] if row else None
