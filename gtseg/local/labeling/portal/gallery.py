"""Objects of a job on the owner's review page, filtered and paged, and the owner's verdicts on them."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from io import BytesIO
from typing import Any

import numpy as np

from gtseg.local.algorithm.untrusted.pictures import PictureError, open_picture
from gtseg.local.clock import read_clock
from gtseg.local.errors import ServiceError
from gtseg.local.labeling.earlier_annotations import find_priors
from gtseg.local.labeling.gold import gold_key
from gtseg.local.labeling.input_objects import read_line
from gtseg.local.labeling.pictures import decoding
from gtseg.local.labeling.portal.agreement import mean_by_line, read_pairs
from gtseg.local.labeling.records import Job, find_job
from gtseg.local.labeling.revisions import read_content
from gtseg.local.labeling.verdicts import read_verdict
from gtseg.local.storage.objects import Objects, ObjectStream, split_uri
from gtseg.local.storage.store import Store

DDL = """
CREATE TABLE IF NOT EXISTS portal_classes (
    job TEXT NOT NULL, line INTEGER NOT NULL, stamp REAL NOT NULL, classes TEXT NOT NULL,
    PRIMARY KEY (job, line)) WITHOUT ROWID;
"""
PAGE = 12
VERDICTS = ("good", "bad")
MAX_COMMENT = 1000
SCAN_SECONDS = 1.0
"""Time per request spent reading masks whose classes are not stored yet."""
STATES = {
    "failed": "o.state = 'failed'",
    "labeled": "o.state = 'labeled'",
    "returned": "EXISTS (SELECT 1 FROM labeling_returned b WHERE b.job = o.job AND b.line = o.line)",
}
SORTED = ("disagree", "unsure")

NOT_HUMAN = '"human-annotated":"no"'
"""Part of the stored result of an object labeled by a model."""


@dataclass(frozen=True)
class ObjectFilter:
    """Filter, order and page of the objects shown.

    `show` is a state (a key of STATES) or an order (one of SORTED). `confidence` and `agreement` are upper bounds, 0 to
    1.
    """

    page: int = 0
    show: str = ""
    worker: str = ""
    label: str = ""
    review: str = ""
    confidence: float | None = None
    agreement: float | None = None


def parse_filter(words: Mapping[str, str]) -> ObjectFilter:
    """Parse the query string. Raises ServiceError InvalidRequest."""
    page = words.get("page") or "0"
    if not (page.isascii() and page.isdecimal() and len(page) < 10):
        raise ServiceError("InvalidRequest", f"page={page[:40]!r} is not a page number. Use an integer from 0.")
    return ObjectFilter(
        page=int(page),
        show=words.get("show", ""),
        worker=words.get("worker", ""),
        label=words.get("label", ""),
        review=words.get("review", ""),
        confidence=_read_share("confidence", words.get("confidence", "")),
        agreement=_read_share("agreement", words.get("agreement", "")),
    )


def _read_share(name: str, text: str) -> float | None:
    try:
        value = float(text) if text else None
    except ValueError:
        value = -1.0
    if value is not None and not 0 <= value <= 1:
        raise ServiceError("InvalidRequest", f"{name}={text[:40]!r} is not a number from 0 to 1.")
    return value


def describe_objects(store: Store, objects: Objects, name: str, wanted: ObjectFilter) -> dict[str, Any]:
    """Return one page of the job's answered, labeled or failed objects that match the filter."""
    job = find_job(store, name)
    agreement = mean_by_line(read_pairs(store, job))
    rows = _select(store, job, wanted)
    looked: dict[str, int] = {}
    if wanted.label and not job.is_verification:
        known = _find_classes(store, objects, job)
        index = job.labels.index(wanted.label) + 1 if wanted.label in job.labels else -1
        rows = [row for row in rows if index in known.get(row["line"], ())]
        looked = {"looked": len(known), "looking": _count_labeled(store, job)}
    tests: list[Callable[[Any], bool]] = []
    if wanted.label and job.is_verification:
        tests.append(lambda row: _verdict_of(job, row)[0] == wanted.label)
    if (least := wanted.confidence) is not None:
        tests.append(lambda row: (found := _verdict_of(job, row)[1]) is not None and found <= least)
    if (share := wanted.agreement) is not None:
        tests.append(lambda row: row["line"] in agreement and agreement[row["line"]] <= share)
    rows = [row for row in rows if all(test(row) for test in tests)]
    if wanted.show == "disagree":
        rows = sorted((r for r in rows if r["line"] in agreement), key=lambda r: agreement[r["line"]])
    elif wanted.show == "unsure":
        rows = sorted(
            (r for r in rows if _verdict_of(job, r)[1] is not None), key=lambda r: _verdict_of(job, r)[1] or 0
        )
    shown = rows[wanted.page * PAGE : (wanted.page + 1) * PAGE]
    return {
        "objects": [_describe(store, objects, job, row, agreement=agreement.get(row["line"])) for row in shown],
        "page": wanted.page,
        "pages": max(1, -(-len(rows) // PAGE)),
        "total": len(rows),
        **looked,
    }


def _select(store: Store, job: Job, wanted: ObjectFilter) -> list[Any]:
    conditions = [
        "o.job = :job",
        STATES.get(wanted.show, "(o.answers > 0 OR o.state IN ('failed', 'labeled'))"),
    ]
    if wanted.show == "returned":
        conditions = conditions[:2]
    if wanted.worker:
        conditions.append(
            "EXISTS (SELECT 1 FROM labeling_tasks t WHERE t.job = o.job AND t.line = o.line AND t.worker = :worker "
            "AND t.state IN ('answered', 'returned'))"
        )
    if wanted.review in VERDICTS:
        conditions.append("r.verdict = :review")
    elif wanted.review == "none":
        conditions.append("r.verdict IS NULL")
    query = (
        "SELECT o.line, o.uri, o.state, o.result, o.width, o.height, o.stamp, o.start, o.length, r.verdict, r.comment "
        "FROM labeling_objects o LEFT JOIN labeling_reviews r ON r.job = o.job AND r.line = o.line "
        f"WHERE {' AND '.join(conditions)} ORDER BY o.line"
    )
    words = {"job": job.name, "worker": wanted.worker, "review": wanted.review}
    return store.read().execute(query, words).fetchall()


def _verdict_of(job: Job, row: Any) -> tuple[str | None, float | None]:
    """Return (verdict of a verification job, confidence) of a labeled object; None for each that is missing."""
    if row["state"] != "labeled":
        return None, None
    metadata = json.loads(row["result"]).get(f"{job.attribute}-metadata") or {}
    if job.is_verification:
        return metadata.get("class-name"), metadata.get("confidence")
    found = [item.get("confidence") for item in (metadata.get("internal-color-map") or {}).values()]
    return None, next((value for value in found if value), None)  # 0 means: one worker, no confidence


def _describe(store: Store, objects: Objects, job: Job, row: Any, *, agreement: float | None) -> dict[str, Any]:
    verdict, confidence = _verdict_of(job, row)
    declines = (
        store.read()
        .execute(
            "SELECT w.name, t.reason, t.state FROM labeling_tasks t LEFT JOIN labeling_workers w ON w.id = t.worker "
            "WHERE t.job = ? AND t.line = ? "
            "AND (t.state = 'declined' OR t.state = 'released' AND t.reason IS NOT NULL)",
            (job.name, row["line"]),
        )
        .fetchall()
    )
    returned = (
        store.read()
        .execute(
            "SELECT w.name, b.comment FROM labeling_returned b LEFT JOIN labeling_workers w ON w.id = b.worker "
            "WHERE b.job = ? AND b.line = ?",
            (job.name, row["line"]),
        )
        .fetchall()
    )
    return {
        "line": row["line"], "uri": row["uri"], "state": row["state"], "width": row["width"], "height": row["height"],
        "version": row["stamp"], "by_machine": row["state"] == "labeled" and NOT_HUMAN in row["result"],
        "reason": row["result"] if row["state"] == "failed" else None,
        "agreement": agreement, "verdict": verdict, "confidence": confidence,
        "review": row["verdict"], "comment": row["comment"] or "", "returned": [dict(item) for item in returned],
        "answers": [
            _describe_answer(store, objects, job, row["line"], item) for item in _read_answers(store, job, row["line"])
        ],
        "declines": [{"name": d["name"], "reason": d["reason"], "skipped": d["state"] == "released"} for d in declines],
    }  # fmt: skip


def _read_answers(store: Store, job: Job, line: int) -> list[Any]:
    return store.read().execute(
        "SELECT t.worker, t.ended, coalesce((SELECT sum(v.seconds) FROM labeling_tasks o "
        "JOIN labeling_activity v ON v.task = o.id WHERE o.job = t.job AND o.line = t.line AND o.worker = t.worker), "
        "t.ended - t.accepted) AS seconds, w.name "
        "FROM labeling_tasks t LEFT JOIN labeling_workers w ON w.id = t.worker "
        "WHERE t.job = ? AND t.line = ? AND t.state = 'answered' ORDER BY t.ended", (job.name, line),
    ).fetchall()  # fmt: skip


def _describe_answer(store: Store, objects: Objects, job: Job, line: int, row: Any) -> dict[str, Any]:
    described = {
        "worker": row["worker"],
        "name": row["name"] or row["worker"],
        "seconds": row["seconds"],
        "version": row["ended"],
        "verdict": None,
        "comment": "",
    }
    if job.is_verification:
        try:
            word = read_verdict(read_content(store, objects, job, line, worker=row["worker"]), job.labels)
        except ServiceError:
            return described  # the answer file was deleted; name and time are still known
        described |= {"verdict": job.labels[word.label], "comment": word.comment}
    return described


def count_verdicts(store: Store, job: Job) -> dict[str, int]:
    """Return how many objects of a verification job received each verdict."""
    counted = dict.fromkeys(job.labels, 0)
    query = "SELECT state, result FROM labeling_objects WHERE job = ? AND state = 'labeled'"
    for row in store.read().execute(query, (job.name,)):
        verdict, _ = _verdict_of(job, row)
        if verdict in counted:
            counted[verdict] += 1
    return counted


# --- classes of masks ---


def _count_labeled(store: Store, job: Job) -> int:
    query = "SELECT count(*) FROM labeling_objects WHERE job = ? AND state = 'labeled'"
    return int(store.read().execute(query, (job.name,)).fetchone()[0])


def _find_classes(store: Store, objects: Objects, job: Job) -> dict[int, frozenset[int]]:
    """Return line -> class indices of the consolidated mask, for the objects whose classes are known.

    Reads further masks for at most SCAN_SECONDS and stores their classes.
    """
    query = (
        "SELECT o.line, o.stamp, o.result, c.classes FROM labeling_objects o "
        "LEFT JOIN portal_classes c ON c.job = o.job AND c.line = o.line AND c.stamp = o.stamp "
        "WHERE o.job = ? AND o.state = 'labeled' ORDER BY o.line"
    )
    known, made, until = {}, [], time.monotonic() + SCAN_SECONDS
    for row in store.read().execute(query, (job.name,)).fetchall():
        text = row["classes"]
        if text is None and time.monotonic() < until:
            text = json.dumps(_read_classes(objects, str(json.loads(row["result"])[job.attribute])))
            made.append((job.name, row["line"], row["stamp"], text))
        if text is not None:
            known[row["line"]] = frozenset(json.loads(text))
    if made:
        with store.write() as connection:
            connection.executemany("INSERT OR REPLACE INTO portal_classes VALUES (?, ?, ?, ?)", made)
    return known


def _read_classes(objects: Objects, uri: str) -> list[int]:
    """Return the class indices that a PNG mask holds; [] if it is missing or cannot be decoded."""
    try:
        png = objects.get(*split_uri(uri))
        with open_picture(png, formats=("PNG",)) as mask, decoding(mask.size):
            return [int(value) for value in np.flatnonzero(np.bincount(np.asarray(mask).reshape(-1)))]
    except (PictureError, ServiceError):
        return []


# --- verdicts of the owner ---


def save_review(store: Store, name: str, line: int, *, verdict: str, comment: str) -> None:
    """Store the owner's verdict on an object; an empty verdict deletes it.

    Raises ServiceError InvalidRequest, NotFound.
    """
    job = find_job(store, name)
    comment = comment.strip()
    if verdict not in ("", *VERDICTS):
        raise ServiceError("InvalidRequest", f"verdict must be 'good', 'bad' or empty; got {verdict[:40]!r}.")
    if len(comment) > MAX_COMMENT:
        raise ServiceError(
            "InvalidRequest", f"A comment may have at most {MAX_COMMENT} characters; got {len(comment)}."
        )
    _find_row(store, job, line)
    with store.write() as connection:
        connection.execute("DELETE FROM labeling_reviews WHERE job = ? AND line = ?", (job.name, line))
        if verdict:
            connection.execute(
                "INSERT INTO labeling_reviews VALUES (?, ?, ?, ?, ?)",
                (job.name, line, verdict, comment, read_clock()),
            )


def count_reviews(store: Store, job: Job) -> dict[str, int]:
    query = "SELECT verdict, count(*) FROM labeling_reviews WHERE job = ? GROUP BY verdict"
    return dict.fromkeys(VERDICTS, 0) | dict(store.read().execute(query, (job.name,)).fetchall())


def format_redo(store: Store, name: str) -> str:
    """Return the objects with the verdict 'bad' as JSON lines for `gtseg adjust --only`: source-ref and comments."""
    job = find_job(store, name)
    rows = (
        store.read()
        .execute(
            "SELECT o.uri, r.comment FROM labeling_reviews r "
            "JOIN labeling_objects o ON o.job = r.job AND o.line = r.line WHERE r.job = ? AND r.verdict = 'bad' "
            "ORDER BY r.line",
            (job.name,),
        )
        .fetchall()
    )
    lines = [{"source-ref": row["uri"], "comments": [row["comment"]] if row["comment"] else []} for row in rows]
    return "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)


# --- images and masks ---


def _find_row(store: Store, job: Job, line: int) -> Any:
    query = "SELECT * FROM labeling_objects WHERE job = ? AND line = ?"
    row = store.read().execute(query, (job.name, line)).fetchone()
    if row is None:
        raise ServiceError("NotFound", f"The job {job.title!r} has no object {line}.", 404)
    return row


def consolidated_mask(store: Store, objects: Objects, name: str, line: int) -> bytes:
    """Return the PNG named in the output manifest, with a transparent background. Raises ServiceError NotFound."""
    job = find_job(store, name)
    row = _find_row(store, job, line)
    uri = json.loads(row["result"]).get(job.attribute) if row["state"] == "labeled" else None
    if not uri or job.is_verification:
        raise ServiceError("NotFound", f"Object {line} has no consolidated mask.", 404)
    return make_background_transparent(objects.get(*split_uri(uri)))


def prior_mask(store: Store, objects: Objects, name: str, line: int) -> bytes:
    """Return the mask of the earlier job that a verification or adjustment refers to. Raises ServiceError NotFound."""
    job = find_job(store, name)
    row = _find_row(store, job, line)
    entry = json.loads(read_line(job, store, row["start"], row["length"]))
    names = find_priors(entry, job.attribute)
    if not names:
        raise ServiceError("NotFound", f"Object {line} has no mask from an earlier job.", 404)
    return make_background_transparent(objects.get(*split_uri(entry[names[0]])))


def make_background_transparent(png: bytes) -> bytes:
    """Return the mask with a transparent background, for display over the image. Raises ServiceError InvalidRequest."""
    out = BytesIO()
    try:
        with open_picture(png, formats=("PNG",)) as mask, decoding(mask.size):
            mask.save(out, "PNG", transparency=0)
    except PictureError as error:
        raise ServiceError("InvalidRequest", f"The mask cannot be shown: it {error}.") from None
    return out.getvalue()


def source_image(store: Store, objects: Objects, name: str, line: int) -> tuple[ObjectStream, str]:
    """Return (byte stream, content type) of an object's image; the caller closes the stream.

    Raises ServiceError NotFound.
    """
    job = find_job(store, name)
    try:
        row = _find_row(store, job, line)
    except ServiceError:  # a gold image, displayed with a question about it
        row = _find_row(store, replace(job, name=gold_key(job.name)), line)
    bucket, key = split_uri(row["uri"])
    stream = objects.open(bucket, key)
    kind = "image/png" if key.lower().endswith(".png") else "image/jpeg"
    return stream, stream.info.content_type if stream.info.content_type.startswith("image/") else kind
