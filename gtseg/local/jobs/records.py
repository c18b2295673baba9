"""Records of SageMaker's jobs, models and endpoints: one row per resource, with its Describe response as JSON.

`answer` is the Describe response with AWS's member names; times are timezone-aware datetimes. `work` is a struct for
each kind of resource with the server's internal state (process, stage, position in the log).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar

import msgspec

from gtseg.local.jobs.pagination import read_paging
from gtseg.local.storage.store import Store

DDL = """
CREATE TABLE IF NOT EXISTS records (
    kind TEXT NOT NULL, name TEXT NOT NULL, parent TEXT NOT NULL DEFAULT '', status TEXT NOT NULL,
    created REAL NOT NULL, modified REAL NOT NULL, answer TEXT NOT NULL, work TEXT NOT NULL,
    PRIMARY KEY (kind, name));
CREATE INDEX IF NOT EXISTS records_by_status ON records (kind, status);
CREATE INDEX IF NOT EXISTS records_by_parent ON records (kind, parent);
"""
COLUMNS = {"Name": "name", "CreationTime": "created", "Status": "status", "LastModifiedTime": "modified"}


class Work(msgspec.Struct, omit_defaults=True):
    """Internal state of a resource. Members with their default value are not stored."""


class NoWork(Work):
    """State of a resource without background work."""


W = TypeVar("W", bound=Work)


@dataclass
class Record(Generic[W]):
    """A resource. `status` is the column that list filters use; `parent` is the tuning job of a training job."""

    name: str
    status: str
    answer: dict[str, Any]
    work: W
    parent: str = ""


class Records(Generic[W]):
    """All resources of one kind, e.g. `training-job`, and the struct of their internal state."""

    def __init__(self, store: Store, kind: str, work: type[W]) -> None:
        self.store, self.kind, self._work = store, kind, work
        store.create(DDL)

    def arn(self, name: str) -> str:
        """Return arn:aws:sagemaker:<region>:<account>:<kind>/<name>, lower case as on AWS."""
        region = self.store.region
        partition = "aws-cn" if region.startswith("cn-") else "aws-us-gov" if region.startswith("us-gov-") else "aws"
        return f"arn:{partition}:sagemaker:{region}:{self.store.account}:{self.kind}/{name.lower()}"

    def add(self, record: Record[W]) -> bool:
        """Store a new resource; return False if the name is taken."""
        created = record.answer["CreationTime"].timestamp()
        with self.store.write() as connection:
            cursor = connection.execute(
                "INSERT OR IGNORE INTO records VALUES (?,?,?,?,?,?,?,?)",
                (
                    self.kind,
                    record.name,
                    record.parent,
                    record.status,
                    created,
                    created,
                    _dump(record.answer),
                    _dump_work(record.work),
                ),
            )
        return cursor.rowcount == 1

    def find(self, name: str) -> Record[W] | None:
        row = self.store.read().execute("SELECT * FROM records WHERE kind=? AND name=?", (self.kind, name)).fetchone()
        return self._parse(row) if row else None

    @contextmanager
    def change(self, name: str) -> Iterator[Record[W] | None]:
        """Read, let the caller modify, and write a resource in one transaction. Yields None if it does not exist."""
        with self.store.write() as connection:
            record = self.find(name)
            yield record
            if record is not None:
                moment = now()
                if "LastModifiedTime" in record.answer:
                    record.answer["LastModifiedTime"] = moment
                connection.execute(
                    "UPDATE records SET status=?, modified=?, answer=?, work=? WHERE kind=? AND name=?",
                    (
                        record.status,
                        moment.timestamp(),
                        _dump(record.answer),
                        _dump_work(record.work),
                        self.kind,
                        name,
                    ),
                )

    def remove(self, name: str) -> bool:
        with self.store.write() as connection:
            cursor = connection.execute("DELETE FROM records WHERE kind=? AND name=?", (self.kind, name))
        return cursor.rowcount == 1

    def list_by_status(self, *statuses: str) -> list[Record[W]]:
        """Return the resources in one of these states, or all if none is given, oldest first."""
        marks = ",".join("?" * len(statuses))
        where = f" AND status IN ({marks})" if statuses else ""
        rows = self.store.read().execute(
            f"SELECT * FROM records WHERE kind=?{where} ORDER BY created, rowid", (self.kind, *statuses)
        )
        return [self._parse(row) for row in rows]

    def children(self, parent: str) -> list[Record[W]]:
        """Return the resources created by `parent`, sorted by name."""
        rows = self.store.read().execute(
            "SELECT * FROM records WHERE kind=? AND parent=? ORDER BY name", (self.kind, parent)
        )
        return [self._parse(row) for row in rows]

    def page(
        self, request: dict[str, Any], *, descending: bool = False, size: int = 10
    ) -> tuple[list[Record[W]], str | None]:
        """Return a page of a List operation, with AWS's filters, order and NextToken; return (records, next token).

        `descending` is the default order.
        """
        column = COLUMNS[request.get("SortBy", "CreationTime")]
        paging = read_paging(request, size=size, is_descending=descending)
        conditions, values = _filters(request)
        if paging.after is not None:
            conditions.append(f"({column}, name) {'<' if paging.is_descending else '>'} (?, ?)")
            values += paging.after
        direction = "DESC" if paging.is_descending else "ASC"
        rows = (
            self.store.read()
            .execute(
                f"SELECT * FROM records WHERE {' AND '.join(['kind=?', *conditions])}"
                f" ORDER BY {column} {direction}, name {direction} LIMIT ?",
                (self.kind, *values, paging.limit + 1),
            )
            .fetchall()
        )
        page, token = paging.cut(rows, lambda row: (row[column], row["name"]))
        return [self._parse(row) for row in page], token

    def _parse(self, row: Any) -> Record[W]:
        work = msgspec.convert(_load(row["work"]), self._work, builtin_types=(datetime,))
        return Record(row["name"], row["status"], _load(row["answer"]), work, row["parent"])


def now() -> datetime:
    """Return the current time (UTC) in whole milliseconds, AWS's precision."""
    moment = datetime.now(UTC)
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


def _filters(request: dict[str, Any]) -> tuple[list[str], list[Any]]:
    known = {
        "CreationTimeAfter": "created >= ?",
        "CreationTimeBefore": "created <= ?",
        "LastModifiedTimeAfter": "modified >= ?",
        "LastModifiedTimeBefore": "modified <= ?",
        "StatusEquals": "status = ?",
        "NameContains": "instr(lower(name), lower(?)) > 0",
    }
    given = [(sql, request[member]) for member, sql in known.items() if member in request]
    return [sql for sql, _ in given], [_plain(value) for _, value in given]


def _plain(value: Any) -> Any:
    return value.timestamp() if isinstance(value, datetime) else value


def _dump_work(work: Work) -> str:
    return _dump(msgspec.to_builtins(work, builtin_types=(datetime,)))


def _dump(value: dict[str, Any]) -> str:
    return json.dumps(value, default=lambda moment: {"$time": moment.timestamp()})


def _load(text: str) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(text, object_hook=_restore)
    return loaded


def _restore(value: dict[str, Any]) -> Any:
    return datetime.fromtimestamp(value["$time"], UTC) if value.keys() == {"$time"} else value
