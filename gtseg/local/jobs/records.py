"""What SageMaker's jobs, models and endpoints are kept as: one row per resource, its Describe answer as JSON.

`answer` is the Describe answer under AWS's own member names; times are timezone-aware datetimes. `work` is a struct of each
kind of resource with what only this server needs (process, stage, place in the log).
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

__all__ = ["NoWork", "Record", "Records", "Work", "now"]

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
    """What only this server needs of a resource. Members that have their default are not kept."""


class NoWork(Work):
    """Of a resource that nothing is done with."""


W = TypeVar("W", bound=Work)


@dataclass
class Record(Generic[W]):
    """One resource. `status` is the column that lists filter by; `parent` the tuning job of a training job."""

    name: str
    status: str
    answer: dict[str, Any]
    work: W
    parent: str = ""


class Records(Generic[W]):
    """All resources of one kind, e.g. `training-job`, and the struct of their work."""

    def __init__(self, store: Store, kind: str, work: type[W]) -> None:
        self.store, self.kind, self._work = store, kind, work
        store.create(DDL)

    def arn(self, name: str) -> str:
        """arn:aws:sagemaker:<region>:<account>:<kind>/<name>, lower case as AWS writes it."""
        region = self.store.region
        partition = "aws-cn" if region.startswith("cn-") else "aws-us-gov" if region.startswith("us-gov-") else "aws"
        return f"arn:{partition}:sagemaker:{region}:{self.store.account}:{self.kind}/{name.lower()}"

    def add(self, record: Record[W]) -> bool:
        """Keep a new resource; False where the name is taken."""
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
        """Read, let the caller edit, write, in one transaction. Yields None for a resource that is gone."""
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

    def having(self, *statuses: str) -> list[Record[W]]:
        """Every resource in one of these states, oldest first; every resource where none is named."""
        marks = ",".join("?" * len(statuses))
        where = f" AND status IN ({marks})" if statuses else ""
        rows = self.store.read().execute(
            f"SELECT * FROM records WHERE kind=?{where} ORDER BY created, rowid", (self.kind, *statuses)
        )
        return [self._parse(row) for row in rows]

    def children(self, parent: str) -> list[Record[W]]:
        """The resources that `parent` made, in the order of their names."""
        rows = self.store.read().execute(
            "SELECT * FROM records WHERE kind=? AND parent=? ORDER BY name", (self.kind, parent)
        )
        return [self._parse(row) for row in rows]

    def page(
        self, request: dict[str, Any], *, descending: bool = False, size: int = 10
    ) -> tuple[list[Record[W]], str | None]:
        """One page of a List operation: its filters, order and NextToken by AWS's member names.

        `descending` is the order where the request names none.
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
    """The time, UTC, in whole milliseconds, as AWS keeps it."""
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
