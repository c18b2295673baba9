"""Tables of labeling in the data folder, and a labeling job as a frozen value."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO

from gtseg.local.clock import read_clock
from gtseg.local.errors import ServiceError
from gtseg.local.storage.objects import split_uri
from gtseg.local.storage.store import Store

# labeling_objects.state: waiting -> queued (in an iteration) -> open (available to workers) -> answered (no more
# answers) -> consolidating (names of its output are fixed) -> labeled | failed; skipped (already labeled in the input).
# labeling_tasks.state: leased -> answered | declined | released | expired | cancelled (the job ended); answered ->
# returned (the owner returned the answer). labeling_held: answers that their worker may still revise; `revising`: the
# worker has reopened it. labeling_returned: answers returned by the owner, kept as a start for the worker's revision.
# labeling_drafts: unsubmitted work; `tab` is the browser tab that has it open, `seen` its last report; `content` is
# opaque. labeling_activity: seconds of a task in which its page was visible and in use. labeling_images: the ETag of an
# object's image when it was first given to workers. labeling_sessions: browsers signed in to the portal; `id` is a
# digest, `worker` '' means the owner.
DDL = """
CREATE TABLE IF NOT EXISTS labeling_jobs (
    name TEXT PRIMARY KEY, title TEXT NOT NULL, arn TEXT NOT NULL, team_arn TEXT NOT NULL, status TEXT NOT NULL,
    failure TEXT NOT NULL DEFAULT '', created REAL NOT NULL, modified REAL NOT NULL, reference TEXT NOT NULL UNIQUE,
    request TEXT NOT NULL, labels TEXT NOT NULL, template TEXT NOT NULL,
    iteration INTEGER NOT NULL DEFAULT 0, stamp INTEGER NOT NULL DEFAULT 0) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS labeling_jobs_by_status ON labeling_jobs (status);
CREATE TABLE IF NOT EXISTS labeling_objects (
    job TEXT NOT NULL, line INTEGER NOT NULL, start INTEGER NOT NULL, length INTEGER NOT NULL, uri TEXT NOT NULL,
    state TEXT NOT NULL, iteration INTEGER, width INTEGER, height INTEGER, slots INTEGER NOT NULL DEFAULT 0,
    answers INTEGER NOT NULL DEFAULT 0, declines INTEGER NOT NULL DEFAULT 0, deadline REAL,
    stamp REAL, batch INTEGER, result TEXT, PRIMARY KEY (job, line)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS labeling_objects_by_state ON labeling_objects (job, state, line);
CREATE INDEX IF NOT EXISTS labeling_objects_open ON labeling_objects (job, line) WHERE state = 'open' AND slots > 0;
CREATE INDEX IF NOT EXISTS labeling_objects_due ON labeling_objects (deadline) WHERE state = 'open';
CREATE TABLE IF NOT EXISTS labeling_tasks (
    id TEXT PRIMARY KEY, job TEXT NOT NULL, line INTEGER NOT NULL, worker TEXT NOT NULL, state TEXT NOT NULL,
    accepted REAL NOT NULL, expires REAL NOT NULL, ended REAL, reason TEXT, digest TEXT) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS labeling_tasks_by_object ON labeling_tasks (job, line, worker);
CREATE INDEX IF NOT EXISTS labeling_tasks_by_worker ON labeling_tasks (worker, job, state);
CREATE INDEX IF NOT EXISTS labeling_tasks_due ON labeling_tasks (expires) WHERE state = 'leased';
CREATE TABLE IF NOT EXISTS labeling_answers (
    job TEXT NOT NULL, line INTEGER NOT NULL, worker TEXT NOT NULL, accepted REAL NOT NULL, submitted REAL NOT NULL,
    content TEXT NOT NULL, PRIMARY KEY (job, line, worker));
CREATE INDEX IF NOT EXISTS labeling_objects_declined ON labeling_objects (job, line)
    WHERE state = 'open' AND declines > 0 AND slots > 0;
CREATE TABLE IF NOT EXISTS labeling_held (
    job TEXT NOT NULL, line INTEGER NOT NULL, worker TEXT NOT NULL, until REAL NOT NULL, revising INTEGER NOT NULL,
    PRIMARY KEY (job, line, worker)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS labeling_returned (
    job TEXT NOT NULL, line INTEGER NOT NULL, worker TEXT NOT NULL, comment TEXT NOT NULL, returned REAL NOT NULL,
    content TEXT NOT NULL, PRIMARY KEY (job, line, worker));
CREATE TABLE IF NOT EXISTS labeling_drafts (
    job TEXT NOT NULL, line INTEGER NOT NULL, worker TEXT NOT NULL, tab TEXT NOT NULL, seen REAL NOT NULL,
    version INTEGER NOT NULL DEFAULT 0, saved REAL, content BLOB, PRIMARY KEY (job, line, worker));
CREATE INDEX IF NOT EXISTS labeling_drafts_by_worker ON labeling_drafts (worker, job, saved);
CREATE TABLE IF NOT EXISTS labeling_activity (task TEXT PRIMARY KEY, seconds REAL NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS labeling_questions (
    id TEXT PRIMARY KEY, job TEXT NOT NULL, line INTEGER NOT NULL, worker TEXT NOT NULL, task TEXT NOT NULL,
    x REAL, y REAL, question TEXT NOT NULL, asked REAL NOT NULL, answer TEXT, answered REAL, seen REAL) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS labeling_questions_by_job ON labeling_questions (job, asked);
CREATE INDEX IF NOT EXISTS labeling_questions_by_worker ON labeling_questions (worker, job, asked);
CREATE TABLE IF NOT EXISTS labeling_reviews (
    job TEXT NOT NULL, line INTEGER NOT NULL, verdict TEXT NOT NULL, comment TEXT NOT NULL, reviewed REAL NOT NULL,
    PRIMARY KEY (job, line)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS labeling_images (
    job TEXT NOT NULL, line INTEGER NOT NULL, etag TEXT NOT NULL, PRIMARY KEY (job, line)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS labeling_workers (
    id TEXT PRIMARY KEY, name TEXT NOT NULL, team TEXT NOT NULL, simulated INTEGER NOT NULL, token TEXT NOT NULL,
    state TEXT NOT NULL, created REAL NOT NULL, subject TEXT NOT NULL, UNIQUE (team, name)) WITHOUT ROWID;
CREATE UNIQUE INDEX IF NOT EXISTS labeling_workers_by_token ON labeling_workers (token);
CREATE TABLE IF NOT EXISTS labeling_sessions (
    id TEXT PRIMARY KEY, worker TEXT NOT NULL, expires REAL NOT NULL) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS labeling_sessions_by_worker ON labeling_sessions (worker);
CREATE TABLE IF NOT EXISTS labeling_teams (
    name TEXT PRIMARY KEY, title TEXT NOT NULL, arn TEXT NOT NULL, answer TEXT NOT NULL,
    created REAL NOT NULL, modified REAL NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS labeling_workforces (
    name TEXT PRIMARY KEY, answer TEXT NOT NULL, created REAL NOT NULL, modified REAL NOT NULL) WITHOUT ROWID;
"""
DAMAGED = "DataFolderDamaged"
CHANGED = "ClientError: The image was replaced after it was given to workers; their answers refer to the earlier image."
ACTIVE = ("Initializing", "InProgress", "Stopping")
DEFAULT_LIFETIMES = {"public-crowd": 21_600, "private-crowd": 2_592_000, "vendor-crowd": 2_592_000}
DEFAULT_CONCURRENT = 1000


@dataclass(frozen=True)
class Job:
    """A labeling job. `name` is in lower case (names are not case-sensitive), `title` as in the request."""

    name: str
    title: str
    arn: str
    team_arn: str
    status: str
    failure: str
    created: float
    modified: float
    reference: str
    labels: tuple[str, ...]
    template: str
    iteration: int
    request_text: str

    @cached_property
    def request(self) -> dict[str, Any]:
        """The CreateLabelingJob request."""
        request: dict[str, Any] = json.loads(self.request_text)
        return request

    @property
    def human(self) -> dict[str, Any]:
        config: dict[str, Any] = self.request["HumanTaskConfig"]
        return config

    @property
    def attribute(self) -> str:
        return str(self.request["LabelAttributeName"])

    @property
    def is_adjustment(self) -> bool:
        """Whether workers correct the masks of an earlier job."""
        return str(self.human["PreHumanTaskLambdaArn"]).endswith(":PRE-AdjustmentSemanticSegmentation")

    @property
    def is_verification(self) -> bool:
        """Whether workers judge the masks of an earlier job."""
        return str(self.human["PreHumanTaskLambdaArn"]).endswith(":PRE-VerificationSemanticSegmentation")

    @property
    def is_automated(self) -> bool:
        """Whether automated data labeling is enabled."""
        return bool(self.request.get("LabelingJobAlgorithmsConfig"))

    @property
    def workers(self) -> int:
        """Workers per data object."""
        return int(self.human["NumberOfHumanWorkersPerDataObject"])

    @property
    def time_limit(self) -> int:
        return int(self.human["TaskTimeLimitInSeconds"])

    @property
    def crowd(self) -> str:
        """The kind of workforce: public-crowd, private-crowd or vendor-crowd."""
        return self.team_arn.split(":workteam/")[1].split("/")[0]

    @property
    def lifetime(self) -> int:
        """Seconds for which a task is available to workers."""
        return int(self.human.get("TaskAvailabilityLifetimeInSeconds", DEFAULT_LIFETIMES[self.crowd]))

    @property
    def concurrent(self) -> int:
        return int(self.human.get("MaxConcurrentTaskCount", DEFAULT_CONCURRENT))

    @property
    def output(self) -> tuple[str, str]:
        """(bucket, key prefix ending in /) of the job's output."""
        bucket, prefix = split_uri(self.request["OutputConfig"]["S3OutputPath"])
        return bucket, f"{prefix.rstrip('/')}/{self.title}/".lstrip("/")

    @property
    def kms_key(self) -> str:
        """KMS key for the job's output in S3; "" for the bucket's default encryption."""
        return str(self.request["OutputConfig"].get("KmsKeyId") or "")

    @property
    def manifest_key(self) -> str:
        return f"{self.output[1]}manifests/output/output.manifest"

    def folder(self, store: Store) -> Path:
        """Return the server's folder with the job's copy of its input."""
        return store.folder / "labeling" / self.reference


def to_datetime(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def iso(seconds: float) -> str:
    """Return the time in the form `2020-12-28T18:59:15.191Z`."""
    return to_datetime(seconds).isoformat(timespec="milliseconds").replace("+00:00", "Z")


@contextmanager
def open_manifest(job: Job, store: Store) -> Iterator[BinaryIO]:
    """Open the stored manifest of a job.

    Raises ServiceError DataFolderDamaged, which does not fail the job, since the folder can be restored.
    """
    try:
        file = (job.folder(store) / "input.manifest").open("rb")
    except OSError as error:
        raise damaged_manifest(job, store, error.strerror or str(error)) from None
    with file:
        yield file


def read_manifest(file: BinaryIO, job: Job, store: Store, *, length: int) -> bytes:
    """Read the next line, of `length` bytes, of a stored manifest, without its line ending.

    Raises ServiceError DataFolderDamaged.
    """
    raw = file.read(length)
    try:
        json.loads(raw if len(raw) == length else b"")
    except (ValueError, RecursionError):
        raise damaged_manifest(job, store, "it is truncated or damaged") from None
    return raw.rstrip(b"\r\n")


def damaged_manifest(job: Job, store: Store, reason: str) -> ServiceError:
    return ServiceError(
        DAMAGED,
        f"{job.folder(store) / 'input.manifest'}, the manifest of the labeling job {job.title}, cannot be read "
        f"({reason}). Restore the data folder from a "
        "backup (gtseg local restore), or stop the job.",
        500,
    )


def find_job(store: Store, name: str) -> Job:
    """Return the job with this name, ignoring case. Raises ServiceError ResourceNotFound."""
    row = store.read().execute("SELECT * FROM labeling_jobs WHERE name = ?", (name.lower(),)).fetchone()
    if row is None:
        raise ServiceError("ResourceNotFound", f"The labeling job {name!r} does not exist in this account and region.")
    return make_job(row)


def list_active_jobs(store: Store) -> list[Job]:
    """Return the jobs that have not ended, oldest first."""
    rows = store.read().execute(
        # ACTIVE is a constant of this module
        f"SELECT * FROM labeling_jobs WHERE status IN {ACTIVE} ORDER BY created, name"
    )
    return [make_job(row) for row in rows]


def count_backlog(store: Store) -> int:
    """Return the number of objects of unfinished jobs that are answered but whose results are not written yet."""
    row = (
        store.read()
        .execute(
            f"SELECT count(*) FROM labeling_jobs j JOIN labeling_objects o ON o.job = j.name WHERE j.status IN "
            f"{ACTIVE} "
            "AND o.state IN ('answered', 'consolidating')"
        )
        .fetchone()
    )
    return int(row[0])


def count_unfinished(store: Store) -> int:
    """Return the number of labeling jobs that have not ended. Creates the tables if they do not exist yet."""
    store.create(DDL)
    row = store.read().execute(f"SELECT count(*) FROM labeling_jobs WHERE status IN {ACTIVE}").fetchone()
    return int(row[0])


def make_job(row: sqlite3.Row) -> Job:
    columns = {name: row[name] for name in row.keys() if name not in ("request", "labels", "stamp")}  # noqa: SIM118
    return Job(**columns, request_text=row["request"], labels=tuple(json.loads(row["labels"])))


def set_status(connection: sqlite3.Connection, name: str, status: str, *, failure: str = "") -> None:
    connection.execute(
        "UPDATE labeling_jobs SET status = ?, failure = ?, modified = ? WHERE name = ?",
        (status, failure[:1024], read_clock(), name),
    )
