"""Workers, human and simulated: identity, team and token.

Tokens are stored as SHA-256 digests, so that the data folder reveals none. Browsers hold a session cookie instead
(portal/sessions.py).
"""

from __future__ import annotations

import hashlib
import secrets
import sqlite3
import uuid
from dataclasses import dataclass
from typing import Any

from gtseg.local.clock import read_clock
from gtseg.local.errors import ServiceError
from gtseg.local.labeling.records import Job, iso
from gtseg.local.storage.store import Store

EVERY_TEAM = "*"
"""Team of simulated workers: every workteam, and the public workforce."""


@dataclass(frozen=True)
class Worker:
    """A worker. `team` is a workteam's name in lower case; `state` is active, paused or removed."""

    id: str
    name: str
    team: str
    simulated: bool
    state: str
    created: float
    subject: str

    def shown_id(self, job: Job, region: str) -> str:
        """Return the worker's id in a job's output: `private.<region>.<code>` or `public.<region>.<CODE>`."""
        kind = job.crowd.removesuffix("-crowd")
        code = self.id.upper() if kind == "public" else self.id
        return f"{kind}.{region}.{code}"


def add_worker(
    store: Store, name: str, team: str, *, simulated: bool = False, renew: bool = False
) -> tuple[Worker, str]:
    """Add a worker; return it and its token.

    If the team already has the name, `renew` issues a new token; without it, raises ServiceError Conflict.
    """
    check_team(store, team, simulated=simulated)
    if not name.strip() or len(name) > 100 or not name.isprintable():
        raise ServiceError("InvalidRequest", f"{name!r} is not a valid name. Use 1 to 100 printable characters.")
    token = secrets.token_urlsafe(24)
    with store.write() as connection:
        present = connection.execute(
            "SELECT id, state FROM labeling_workers WHERE team = ? AND name = ?", (team.lower(), name)
        ).fetchone()
        if present is not None and present["state"] != "removed" and not renew:
            raise ServiceError(
                "Conflict",
                f"The team {team} already has a worker {name!r}. For a new link, use "
                "`gtseg local worker add NAME --renew`.",
                409,
            )
        worker_id = present["id"] if present is not None else secrets.token_hex(8)
        connection.execute(
            "INSERT INTO labeling_workers VALUES (?, ?, ?, ?, ?, 'active', ?, ?) "
            "ON CONFLICT (id) DO UPDATE SET token = excluded.token, state = 'active'",
            (worker_id, name, team.lower(), simulated, digest(token), read_clock(), str(uuid.uuid4())),
        )
        end_sessions(connection, worker_id)
        row = connection.execute("SELECT * FROM labeling_workers WHERE id = ?", (worker_id,)).fetchone()
    return make_worker(row), token


def check_team(store: Store, team: str, *, simulated: bool) -> None:
    if team == EVERY_TEAM and simulated:
        return
    known = [row["title"] for row in store.read().execute("SELECT title FROM labeling_teams ORDER BY name")]
    if team.lower() not in map(str.lower, known):
        raise ServiceError(
            "NotFound", f"There is no workteam {team!r}. Existing workteams: {', '.join(known) or 'none'}.", 404
        )


def describe_worker(worker: Worker) -> dict[str, Any]:
    """Return the worker's description in the owner's API."""
    return {
        "worker_id": worker.id,
        "name": worker.name,
        "team": worker.team,
        "simulated": worker.simulated,
        "state": worker.state,
        "created": iso(worker.created),
    }


def list_workers(store: Store) -> list[Worker]:
    rows = store.read().execute("SELECT * FROM labeling_workers WHERE state != 'removed' ORDER BY team, name")
    return [make_worker(row) for row in rows]


def find_worker(store: Store, worker_id: str) -> Worker:
    worker = find_active(store, worker_id)
    if worker is None:
        raise ServiceError("NotFound", f"There is no worker {worker_id!r}.", 404)
    return worker


def set_worker_state(store: Store, worker_id: str, state: str) -> Worker:
    """Set a worker's state to `paused` or `active`."""
    find_worker(store, worker_id)
    if state not in ("active", "paused"):
        raise ServiceError("InvalidRequest", f"A worker's state must be active or paused; got {state!r}.")
    with store.write() as connection:
        connection.execute("UPDATE labeling_workers SET state = ? WHERE id = ?", (state, worker_id))
    return find_worker(store, worker_id)


def remove_worker(store: Store, worker_id: str) -> None:
    """Remove a worker: token, sessions and image links become invalid; submitted answers are kept."""
    find_worker(store, worker_id)
    with store.write() as connection:
        connection.execute("UPDATE labeling_workers SET state = 'removed', token = id WHERE id = ?", (worker_id,))
        end_sessions(connection, worker_id)


def end_sessions(connection: sqlite3.Connection, worker_id: str) -> None:
    """End all browser sessions of a worker."""
    connection.execute("DELETE FROM labeling_sessions WHERE worker = ?", (worker_id,))


def find_by_token(store: Store, token: str) -> Worker | None:
    """Return the worker with this token; None if unknown or removed."""
    row = store.read().execute("SELECT * FROM labeling_workers WHERE token = ?", (digest(token),)).fetchone()
    return make_worker(row) if row is not None and row["state"] != "removed" else None


def find_active(store: Store, worker_id: str) -> Worker | None:
    """Return the worker with this id; None if unknown or removed."""
    row = store.read().execute("SELECT * FROM labeling_workers WHERE id = ?", (worker_id,)).fetchone()
    return make_worker(row) if row is not None and row["state"] != "removed" else None


def may_label(worker: Worker, job: Job) -> bool:
    """Return whether the worker is on the job's team. Only simulated workers may do tasks of the public workforce."""
    if worker.team == EVERY_TEAM:
        return True
    return job.crowd == "private-crowd" and job.team_arn.rpartition("/")[2].lower() == worker.team


def digest(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def make_worker(row: sqlite3.Row) -> Worker:
    return Worker(
        row["id"],
        row["name"],
        row["team"],
        bool(row["simulated"]),
        row["state"],
        row["created"],
        row["subject"],
    )


def find_names(store: Store, job: Job, worker_ids: list[str]) -> dict[str, tuple[str, str]]:
    """Return worker id -> (id in this job's output, subject), including removed workers."""
    marks = ",".join("?" * len(worker_ids))
    rows = store.read().execute(f"SELECT * FROM labeling_workers WHERE id IN ({marks})", worker_ids)
    return {row["id"]: (make_worker(row).shown_id(job, store.region), row["subject"]) for row in rows}
