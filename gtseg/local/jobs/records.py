"""What SageMaker's jobs, models and endpoints are kept as: one row per resource, its Describe answer as JSON.

`answer` is the Describe answer under AWS's own member names; `work` is what only this server needs (process, stage,
place in the log). Times are timezone-aware datetimes in both.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from gtseg.local.errors import ServiceError
from gtseg.local.storage.store import Store

__all__ = ["Record", "Records", "now"]

DDL = """
CREATE TABLE IF NOT EXISTS records (
    kind TEXT NOT NULL, name TEXT NOT NULL, parent TEXT NOT NULL DEFAULT '', status TEXT NOT NULL,
    created REAL NOT NULL, modified REAL NOT NULL, answer TEXT NOT NULL, work TEXT NOT NULL,
    PRIMARY KEY (kind, name));
CREATE INDEX IF NOT EXISTS records_by_status ON records (kind, status);
CREATE INDEX IF NOT EXISTS records_by_parent ON records (kind, parent);
"""
COLUMNS = {"Name": "name", "CreationTime": "created", "Status": "status", "LastModifiedTime": "modified"}


@dataclass
class Record:
    """One resource. `status` is the column that lists filter by; `parent` the tuning job of a training job."""

    name: str
    status: str
    answer: dict[str, Any]
    work: dict[str, Any] = field(default_factory=dict)
    parent: str = ""


class Records:
    """All resources of one kind, e.g. `training-job`."""

    def __init__(self, store: Store, kind: str) -> None:
        self.store, self.kind = store, kind
        store.create(DDL)

    def arn(self, name: str) -> str:
        """arn:aws:sagemaker:<region>:<account>:<kind>/<name>, lower case as AWS writes it."""
        region = self.store.region
        partition = (
            "aws-cn" if region.startswith("cn-") else "aws-us-gov" if region.startswith("us-gov-") else "aws"
        )
        return f"arn:{partition}:sagemaker:{region}:{self.store.account}:{self.kind}/{name.lower()}"

    def add(self, record: Record) -> bool:
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
                    _dump(record.work),
                ),
            )
        return cursor.rowcount == 1

    def find(self, name: str) -> Record | None:
        row = (
            self.store.read()
            .execute("SELECT * FROM records WHERE kind=? AND name=?", (self.kind, name))
            .fetchone()
        )
        return _parse(row) if row else None

    @contextmanager
    def change(self, name: str) -> Iterator[Record | None]:
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
                        _dump(record.work),
                        self.kind,
                        name,
                    ),
                )

    def remove(self, name: str) -> bool:
        with self.store.write() as connection:
            cursor = connection.execute("DELETE FROM records WHERE kind=? AND name=?", (self.kind, name))
        return cursor.rowcount == 1

    def having(self, *statuses: str) -> list[Record]:
        """Every resource in one of these states, oldest first; every resource where none is named."""
        marks = ",".join("?" * len(statuses))
        where = f" AND status IN ({marks})" if statuses else ""
        rows = self.store.read().execute(
            f"SELECT * FROM records WHERE kind=?{where} ORDER BY created, rowid", (self.kind, *statuses)
        )
        return [_parse(row) for row in rows]

    def children(self, parent: str) -> list[Record]:
        """The resources that `parent` made, in the order of their names."""
        rows = self.store.read().execute(
            "SELECT * FROM records WHERE kind=? AND parent=? ORDER BY name", (self.kind, parent)
        )
        return [_parse(row) for row in rows]

    def page(
        self, request: dict[str, Any], *, descending: bool = False, size: int = 10
    ) -> tuple[list[Record], str | None]:
        """One page of a List operation: its filters, order and NextToken by AWS's member names.

        `descending` is the order where the request names none. The token holds the last row's place, so that
        rows that come or go between two pages move nothing.
        """
        column = COLUMNS[request.get("SortBy", "CreationTime")]
        order = request.get("SortOrder")
        down = descending if order is None else order == "Descending"
        conditions, values = _filters(request)
        if "NextToken" in request:
            conditions.append(f"({column}, name) {'<' if down else '>'} (?, ?)")
            values += _open_token(request["NextToken"])
        limit = request.get("MaxResults", size)
        direction = "DESC" if down else "ASC"
        rows = (
            self.store.read()
            .execute(
                f"SELECT * FROM records WHERE {' AND '.join(['kind=?', *conditions])}"
                f" ORDER BY {column} {direction}, name {direction} LIMIT ?",
                (self.kind, *values, limit + 1),
            )
            .fetchall()
        )
        token = _seal_token([rows[limit - 1][column], rows[limit - 1]["name"]]) if len(rows) > limit else None
        return [_parse(row) for row in rows[:limit]], token


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


def _seal_token(place: list[Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(place).encode()).decode()


def _open_token(token: str) -> list[Any]:
    try:
        place = json.loads(base64.urlsafe_b64decode(token))
        if isinstance(place, list) and len(place) == 2 and isinstance(place[1], str):
            return place
    except (ValueError, binascii.Error):
        pass
    raise ServiceError("ValidationException", "Invalid NextToken: it was not given out by this operation.")


def _parse(row: Any) -> Record:
    return Record(row["name"], row["status"], _load(row["answer"]), _load(row["work"]), row["parent"])


def _dump(value: dict[str, Any]) -> str:
    return json.dumps(value, default=lambda moment: {"$time": moment.timestamp()})


def _load(text: str) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(text, object_hook=_restore)
    return loaded


def _restore(value: dict[str, Any]) -> Any:
    return datetime.fromtimestamp(value["$time"], UTC) if value.keys() == {"$time"} else value
