"""Figures of a job for its owner: progress, workers with their times, agreement, and the estimated time left."""

from __future__ import annotations

import csv
import statistics
from io import StringIO
from typing import Any

from gtseg.local.clock import read_clock
from gtseg.local.labeling import questions
from gtseg.local.labeling.automated.records import count_machine
from gtseg.local.labeling.colors import find_colors
from gtseg.local.labeling.portal.agreement import (
    mean_by_job,
    mean_by_worker,
    read_pairs,
    update_agreement,
)
from gtseg.local.labeling.portal.gallery import count_reviews, count_verdicts
from gtseg.local.labeling.portal.gold_scores import describe_gold
from gtseg.local.labeling.records import Job, find_job, to_datetime
from gtseg.local.storage.objects import Objects
from gtseg.local.storage.store import Store

PACE_ANSWERS = 100
"""Number of latest answers from which the pace of a job is estimated."""
TIMES = (
    "SELECT t.job, t.worker, t.ended - t.accepted AS leased, coalesce((SELECT sum(v.seconds) FROM labeling_tasks o "
    "JOIN labeling_activity v ON v.task = o.id WHERE o.job = t.job AND o.line = t.line AND o.worker = t.worker), "
    "t.ended - t.accepted) AS spent FROM labeling_tasks t"
)


def list_jobs(store: Store) -> list[dict[str, Any]]:
    """Return a summary of every labeling job, newest first."""
    rows = store.read().execute("SELECT name FROM labeling_jobs ORDER BY created DESC").fetchall()
    return [summarize(store, find_job(store, row["name"])) for row in rows]


def summarize(store: Store, job: Job) -> dict[str, Any]:
    """Return the summary of a job shown in the list of jobs."""
    return {
        "name": job.title, "status": job.status, "failure": job.failure, "title": job.human["TaskTitle"],
        "created": job.created, "counts": count_objects(store, job), "workers_per_object": job.workers,
        "kind": "verification" if job.is_verification else "mask", "questions": questions.count_questions(store, job),
    }  # fmt: skip


def count_objects(store: Store, job: Job) -> dict[str, int]:
    """Return the counts of a job's objects and answers.

    total     objects
    labeled   objects with a consolidated result
    failed    objects without a result
    skipped   objects labeled before this job
    machine   objects labeled by a model
    in_hand   tasks leased now
    answers   answers submitted
    wanted    answers required in total
    """
    connection = store.read()
    states = dict(
        connection.execute(
            "SELECT state, count(*) FROM labeling_objects WHERE job = ? GROUP BY state", (job.name,)
        ).fetchall()
    )
    answers = connection.execute(
        "SELECT count(*) FROM labeling_tasks WHERE job = ? AND state = 'answered'", (job.name,)
    ).fetchone()[0]
    leased = connection.execute(
        "SELECT count(*) FROM labeling_tasks WHERE job = ? AND state = 'leased'", (job.name,)
    ).fetchone()[0]
    total = sum(states.values())
    skipped, machine = states.get("skipped", 0), count_machine(store, job.name)
    return {
        "total": total,
        "labeled": states.get("labeled", 0),
        "failed": states.get("failed", 0),
        "skipped": skipped,
        "answers": answers,
        "machine": machine,
        "wanted": (total - skipped - machine) * job.workers,
        "in_hand": leased,
    }


def worker_figures(store: Store, job: Job) -> list[dict[str, Any]]:
    """Return the figures of each worker, sorted by name; `iou` is None where there is nothing to compare.

    `median_seconds` is the active time reported by the task page, or the duration of the lease where the page reported
    none. `median_lease_seconds` is always the duration of the lease.
    """
    connection = store.read()
    people = {row["id"]: row for row in connection.execute("SELECT id, name, team, state FROM labeling_workers")}
    names = {key: row["name"] for key, row in people.items()}
    spent: dict[str, list[float]] = {}
    leased: dict[str, list[float]] = {}
    for row in connection.execute(f"{TIMES} WHERE t.job = ? AND t.state = 'answered'", (job.name,)):
        spent.setdefault(row["worker"], []).append(row["spent"])
        leased.setdefault(row["worker"], []).append(row["leased"])
    ended = connection.execute(
        "SELECT worker, state, count(*) AS n, max(coalesce(ended, accepted)) AS last FROM labeling_tasks "
        "WHERE job = ? GROUP BY worker, state",
        (job.name,),
    ).fetchall()
    agreement = mean_by_worker(read_pairs(store, job))
    figures = []
    for worker in sorted({row["worker"] for row in ended} | set(spent), key=lambda w: names.get(w, w)):
        states = {row["state"]: row for row in ended if row["worker"] == worker}
        figures.append(
            {
                "worker": worker, "state": people[worker]["state"] if worker in people else "removed",
                "name": names.get(worker, worker), "answers": len(spent.get(worker, [])),
                "declined": states["declined"]["n"] if "declined" in states else 0,
                "expired": states["expired"]["n"] if "expired" in states else 0,
                "median_seconds": statistics.median(spent[worker]) if worker in spent else None,
                "median_lease_seconds": statistics.median(leased[worker]) if worker in leased else None,
                "last": max((row["last"] for row in states.values()), default=None), "iou": agreement.get(worker),
            }
        )  # fmt: skip
    return figures


def median_pace(store: Store, worker: str) -> dict[str, float]:
    """Return the median seconds per image of the worker's last 50 answers of each job, by job key (lower case)."""
    times: dict[str, list[float]] = {}
    query = f"{TIMES} WHERE t.worker = ? AND t.state = 'answered' AND t.job NOT LIKE '%/gold' ORDER BY t.ended DESC"
    for row in store.read().execute(query, (worker,)):
        if len(spent := times.setdefault(row["job"], [])) < 50:
            spent.append(row["spent"])
    return {job: statistics.median(spent) for job, spent in times.items()}


def format_workers_csv(store: Store, objects: Objects, name: str) -> str:
    """Return the figures of a job's workers as CSV."""
    job = find_job(store, name)
    update_agreement(store, objects, job)
    columns = (
        "name",
        "state",
        "answers",
        "median_seconds",
        "median_lease_seconds",
        "iou",
        "declined",
        "expired",
        "last",
    )
    out = StringIO()
    table = csv.writer(out)
    table.writerow(columns)
    for row in worker_figures(store, job):
        last = row["last"] and to_datetime(row["last"]).isoformat(timespec="seconds")
        figures = row | {"name": escape_formula(row["name"]), "last": last}
        table.writerow(["" if figures[key] is None else figures[key] for key in columns])
    return out.getvalue()


def escape_formula(text: str) -> str:
    """Return text that a spreadsheet does not evaluate as a formula (OWASP, "CSV Injection")."""
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text


def seconds_left(store: Store, job: Job, counts: dict[str, int]) -> float | None:
    """Return the estimated seconds until the job is complete, at the pace of the last answers, breaks included.

    None if the job is not running or has fewer than 5 answers.
    """
    rows = (
        store.read()
        .execute(
            "SELECT ended FROM labeling_tasks WHERE job = ? AND state = 'answered' ORDER BY ended DESC LIMIT ?",
            (job.name, PACE_ANSWERS),
        )
        .fetchall()
    )
    if job.status != "InProgress" or len(rows) < 5 or rows[0]["ended"] <= rows[-1]["ended"]:
        return None
    rate: float = (len(rows) - 1) / (read_clock() - rows[-1]["ended"])
    return max(0, counts["wanted"] - counts["answers"]) / rate


def describe_job(store: Store, objects: Objects, name: str) -> dict[str, Any]:
    """Return the figures at the head of a job's page."""
    job = find_job(store, name)
    pairs = update_agreement(store, objects, job)
    several = (
        store.read()
        .execute(
            "SELECT count(*) FROM (SELECT 1 FROM labeling_tasks WHERE job = ? AND state = 'answered' "
            "GROUP BY line HAVING count(*) > 1)",
            (job.name,),
        )
        .fetchone()[0]
    )
    head = summarize(store, job)
    return {
        **head,
        "seconds_left": seconds_left(store, job, head["counts"]),
        "labels": list(job.labels),
        "colors": find_colors(store, job),
        "output": f"s3://{job.output[0]}/{job.output[1]}",
        "workers": worker_figures(store, job),
        **describe_gold(store, job),
        "agreement": mean_by_job(pairs),
        "compared": len({pair.line for pair in pairs}),
        "comparable": several,
        "verdicts": count_verdicts(store, job) if job.is_verification else {},
        "reviews": count_reviews(store, job),
    }
