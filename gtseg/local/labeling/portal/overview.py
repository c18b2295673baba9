"""What the owner of a job sees: how far it is, who did what in which time, how well they agree, every object with its answers."""

from __future__ import annotations

import csv
import json
import statistics
from io import BytesIO, StringIO
from typing import Any

from gtseg.local.algorithm.pictures import PictureError, open_picture
from gtseg.local.errors import ServiceError
from gtseg.local.labeling.pictures import decoding
from gtseg.local.labeling.portal.agreement import (
    mean_by_job,
    mean_by_line,
    mean_by_worker,
    read_pairs,
    update_agreement,
)
from gtseg.local.labeling.records import Job, find_job, read_clock, to_datetime
from gtseg.local.storage.objects import Objects, ObjectStream, split_uri
from gtseg.local.storage.store import Store

__all__ = ["describe_job", "describe_objects", "list_jobs", "own_pace", "worker_figures", "write_people"]

PAGE = 12
PACE_ANSWERS = 100


def list_jobs(store: Store) -> list[dict[str, Any]]:
    """Every labeling job, newest first, with its counts."""
    rows = store.read().execute("SELECT name FROM labeling_jobs ORDER BY created DESC").fetchall()
    return [brief(store, find_job(store, row["name"])) for row in rows]


def brief(store: Store, job: Job) -> dict[str, Any]:
    return {
        "name": job.title, "status": job.status, "failure": job.failure, "title": job.human["TaskTitle"],
        "created": job.created, "counts": count_objects(store, job), "workers_per_object": job.workers,
    }  # fmt: skip


def count_objects(store: Store, job: Job) -> dict[str, int]:
    """total, labeled, failed, skipped (labeled before this job), in_hand (leased now), answers, wanted."""
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
    skipped = states.get("skipped", 0)
    return {
        "total": total, "labeled": states.get("labeled", 0), "failed": states.get("failed", 0), "skipped": skipped,
        "answers": answers, "wanted": (total - skipped) * job.workers, "in_hand": leased,
    }  # fmt: skip


def worker_figures(store: Store, job: Job) -> list[dict[str, Any]]:
    """Per worker: answers, declines, leases lost, median seconds, last seen, mean IoU with colleagues (None: nothing to compare)."""
    connection = store.read()
    people = {
        row["id"]: row for row in connection.execute("SELECT id, name, team, state FROM labeling_workers")
    }
    names = {key: row["name"] for key, row in people.items()}
    spent: dict[str, list[float]] = {}
    for row in connection.execute(
        "SELECT worker, ended - accepted AS spent FROM labeling_tasks WHERE job = ? AND state = 'answered'",
        (job.name,),
    ):
        spent.setdefault(row["worker"], []).append(row["spent"])
    ended = connection.execute(
        "SELECT worker, state, count(*) AS n, max(coalesce(ended, accepted)) AS last FROM labeling_tasks WHERE job = ? GROUP BY worker, state",
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
                "last": max((row["last"] for row in states.values()), default=None), "iou": agreement.get(worker),
            }
        )  # fmt: skip
    return figures


def own_pace(store: Store, worker: str) -> dict[str, float]:
    """Median seconds per image of this worker's last 50 answers, by job (lower case)."""
    times: dict[str, list[float]] = {}
    query = "SELECT job, ended - accepted AS spent FROM labeling_tasks WHERE worker = ? AND state = 'answered' ORDER BY ended DESC"
    for row in store.read().execute(query, (worker,)):
        if len(spent := times.setdefault(row["job"], [])) < 50:
            spent.append(row["spent"])
    return {job: statistics.median(spent) for job, spent in times.items()}


def write_people(store: Store, objects: Objects, name: str) -> str:
    """The figures of a job's people as CSV, for a spreadsheet."""
    job = find_job(store, name)
    update_agreement(store, objects, job)
    columns = ("name", "state", "answers", "median_seconds", "iou", "declined", "expired", "last")
    out = StringIO()
    table = csv.writer(out)
    table.writerow(columns)
    for row in worker_figures(store, job):
        last = row["last"] and to_datetime(row["last"]).isoformat(timespec="seconds")
        figures = row | {"name": defuse(row["name"]), "last": last}
        table.writerow(["" if figures[key] is None else figures[key] for key in columns])
    return out.getvalue()


def defuse(text: str) -> str:
    """A name that a spreadsheet does not take for a formula (OWASP, "CSV Injection")."""
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text


def seconds_left(store: Store, job: Job, counts: dict[str, int]) -> float | None:
    """How long the rest takes at the pace of the last answers, breaks included; None where there is no pace to tell."""
    rows = store.read().execute(
        "SELECT ended FROM labeling_tasks WHERE job = ? AND state = 'answered' ORDER BY ended DESC LIMIT ?",
        (job.name, PACE_ANSWERS),
    ).fetchall()  # fmt: skip
    if job.status != "InProgress" or len(rows) < 5 or rows[0]["ended"] <= rows[-1]["ended"]:
        return None
    rate: float = (len(rows) - 1) / (read_clock() - rows[-1]["ended"])
    return max(0, counts["wanted"] - counts["answers"]) / rate


# ---- one job -------------------------------------------------------------------------------------------------------


def describe_job(store: Store, objects: Objects, name: str) -> dict[str, Any]:
    """Everything at the head of a job's page."""
    job = find_job(store, name)
    pairs = update_agreement(store, objects, job)
    several = store.read().execute(
        "SELECT count(*) FROM (SELECT 1 FROM labeling_tasks WHERE job = ? AND state = 'answered' GROUP BY line HAVING count(*) > 1)", (job.name,)
    ).fetchone()[0]  # fmt: skip
    head = brief(store, job)
    return {
        **head,
        "seconds_left": seconds_left(store, job, head["counts"]),
        "labels": list(job.labels),
        "output": f"s3://{job.output[0]}/{job.output[1]}",
        "workers": worker_figures(store, job),
        "agreement": mean_by_job(pairs),
        "compared": len({pair.line for pair in pairs}),
        "comparable": several,
    }


def describe_objects(store: Store, name: str, *, page: int, state: str | None) -> dict[str, Any]:
    """One page of the gallery: objects with answers, or failed ones (`state` "failed"); those that agree least first where asked ("disagree")."""
    job = find_job(store, name)
    agreement = mean_by_line(read_pairs(store, job))
    wanted = {"failed": "state = 'failed'", "labeled": "state = 'labeled'"}.get(
        state or "", "(answers > 0 OR state IN ('failed', 'labeled'))"
    )
    rows = store.read().execute(
        f"SELECT line, uri, state, result, width, height FROM labeling_objects WHERE job = ? AND {wanted} ORDER BY line", (job.name,)
    ).fetchall()  # fmt: skip
    if state == "disagree":
        rows = sorted(
            (row for row in rows if row["line"] in agreement), key=lambda row: agreement[row["line"]]
        )
    shown = rows[page * PAGE : (page + 1) * PAGE]
    return {
        "objects": [describe_object(store, job, row, agreement=agreement.get(row["line"])) for row in shown],
        "page": page, "pages": max(1, -(-len(rows) // PAGE)), "total": len(rows),
    }  # fmt: skip


def describe_object(store: Store, job: Job, row: Any, *, agreement: float | None) -> dict[str, Any]:
    answers = (
        store.read()
        .execute(
            "SELECT a.worker, a.ended - a.accepted AS seconds, w.name FROM labeling_tasks a LEFT JOIN labeling_workers w ON w.id = a.worker "
            "WHERE a.job = ? AND a.line = ? AND a.state = 'answered' ORDER BY a.ended",
            (job.name, row["line"]),
        )
        .fetchall()
    )
    declines = (
        store.read()
        .execute(
            "SELECT w.name, t.reason FROM labeling_tasks t LEFT JOIN labeling_workers w ON w.id = t.worker WHERE t.job = ? AND t.line = ? AND t.state = 'declined'",
            (job.name, row["line"]),
        )
        .fetchall()
    )
    return {
        "line": row["line"], "uri": row["uri"], "state": row["state"], "width": row["width"], "height": row["height"],
        "reason": row["result"] if row["state"] == "failed" else None, "agreement": agreement,
        "answers": [{"worker": a["worker"], "name": a["name"] or a["worker"], "seconds": a["seconds"]} for a in answers],
        "declines": [{"name": d["name"], "reason": d["reason"]} for d in declines],
    }  # fmt: skip


def consolidated_mask(store: Store, objects: Objects, name: str, line: int) -> bytes:
    """The PNG that the output manifest names, background made transparent. Raises ServiceError NotFound."""
    job = find_job(store, name)
    row = (
        store.read()
        .execute("SELECT state, result FROM labeling_objects WHERE job = ? AND line = ?", (job.name, line))
        .fetchone()
    )
    uri = (
        json.loads(row["result"]).get(job.attribute)
        if row is not None and row["state"] == "labeled"
        else None
    )
    if not uri or job.is_verification:
        raise ServiceError("NotFound", f"Object {line} has no consolidated mask.", 404)
    return see_through(objects.get(*split_uri(uri)))


def see_through(png: bytes) -> bytes:
    """The mask with its background transparent, to be laid over the image."""
    out = BytesIO()
    try:
        with open_picture(png, formats=("PNG",)) as mask, decoding(mask.size):
            mask.save(out, "PNG", transparency=0)
    except PictureError as error:
        raise ServiceError("InvalidRequest", f"The mask cannot be shown: it {error}.") from None
    return out.getvalue()


def source_image(store: Store, objects: Objects, name: str, line: int) -> tuple[ObjectStream, str]:
    """(bytes, content type) of an object of this job; the caller closes the stream. Raises ServiceError NotFound."""
    row = (
        store.read()
        .execute(
            "SELECT uri FROM labeling_objects WHERE job = ? AND line = ?", (find_job(store, name).name, line)
        )
        .fetchone()
    )
    if row is None:
        raise ServiceError("NotFound", f"The job has no object {line}.", 404)
    bucket, key = split_uri(row["uri"])
    stream = objects.open(bucket, key)
    kind = "image/png" if key.lower().endswith(".png") else "image/jpeg"
    return stream, stream.info.content_type if stream.info.content_type.startswith("image/") else kind
