"""Log groups, streams and events in SQLite, in CloudWatch's order: by time, then by arrival."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from gtseg.local.errors import ServiceError
from gtseg.local.storage.store import Store

DDL = """
CREATE TABLE IF NOT EXISTS log_groups (name TEXT PRIMARY KEY, created INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS log_streams (
    id INTEGER PRIMARY KEY AUTOINCREMENT, log_group TEXT NOT NULL, name TEXT NOT NULL, created INTEGER NOT NULL,
    first INTEGER, last INTEGER, ingested INTEGER, UNIQUE (log_group, name));
CREATE TABLE IF NOT EXISTS log_events (
    id INTEGER PRIMARY KEY AUTOINCREMENT, stream INTEGER NOT NULL, time INTEGER NOT NULL, ingested INTEGER NOT NULL,
    message TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS log_events_in_order ON log_events (stream, time, id);
"""
Place = tuple[int, int]
"""(time in ms, id): position of an event in its stream."""
START: Place = (-1, -1)
ARRIVED_PAGE = 5_000
END: Place = (2**62, 2**62)


@dataclass(frozen=True)
class Event:
    """A log event. Times are epoch milliseconds; `id` increases with arrival over all streams."""

    id: int
    stream: str
    time: int
    ingested: int
    message: str

    @property
    def place(self) -> Place:
        return self.time, self.id


class LogEvents:
    """Access to the logs for the services that write them and the API that reads them."""

    def __init__(self, store: Store) -> None:
        self.store = store
        store.create(DDL)

    def write(self, group: str, stream: str, lines: Sequence[str], *, at: int | None = None) -> None:
        """Append lines now (or at epoch millisecond `at`); create the group and stream if they do not exist."""
        moment = now_ms() if at is None else at
        self.put(group, stream, [(moment, line) for line in lines])

    def put(self, group: str, stream: str, events: Sequence[tuple[int, str]]) -> None:
        """Append (time, message) pairs; an empty message becomes a space, because the API does not allow empty ones."""
        with self.store.write() as connection:
            number = self._ensure_stream(group, stream)
            ingested = now_ms()
            connection.executemany(
                "INSERT INTO log_events (stream, time, ingested, message) VALUES (?, ?, ?, ?)",
                [(number, moment, ingested, message or " ") for moment, message in events],
            )
            if events:
                first, last = min(moment for moment, _ in events), max(moment for moment, _ in events)
                connection.execute(
                    "UPDATE log_streams SET first=min(coalesce(first, ?), ?), last=max(coalesce(last, ?), ?),"
                    " ingested=? WHERE id=?",
                    (first, first, last, last, ingested, number),
                )

    def _ensure_stream(self, group: str, stream: str) -> int:
        connection = self.store.read()
        created = now_ms()
        connection.execute("INSERT OR IGNORE INTO log_groups VALUES (?, ?)", (group, created))
        connection.execute(
            "INSERT OR IGNORE INTO log_streams (log_group, name, created) VALUES (?, ?, ?)",
            (group, stream, created),
        )
        return self._stream(group, stream)

    def arrived(self, group: str, *, after: int) -> Iterator[Event]:
        """Yield the events of a group with an id greater than `after`, in order of arrival."""
        query = (
            "SELECT e.id, s.name, e.time, e.ingested, e.message FROM log_events e JOIN log_streams s ON s.id=e.stream"
            " WHERE s.log_group=? AND e.id>? ORDER BY e.id LIMIT ?"
        )
        while rows := self.store.read().execute(query, (group, after, ARRIVED_PAGE)).fetchall():
            for row in rows:
                yield Event(*row)
            after = rows[-1][0]

    def add_group(self, name: str) -> None:
        with self.store.write() as connection:
            cursor = connection.execute("INSERT OR IGNORE INTO log_groups VALUES (?, ?)", (name, now_ms()))
        if not cursor.rowcount:
            raise ServiceError("ResourceAlreadyExistsException", "The specified log group already exists")

    def add_stream(self, group: str, name: str) -> None:
        self.check_group(group)
        with self.store.write() as connection:
            cursor = connection.execute(
                "INSERT OR IGNORE INTO log_streams (log_group, name, created) VALUES (?, ?, ?)",
                (group, name, now_ms()),
            )
        if not cursor.rowcount:
            raise ServiceError("ResourceAlreadyExistsException", "The specified log stream already exists")

    def remove_group(self, name: str) -> None:
        self.check_group(name)
        with self.store.write() as connection:
            connection.execute(
                "DELETE FROM log_events WHERE stream IN (SELECT id FROM log_streams WHERE log_group=?)",
                (name,),
            )
            connection.execute("DELETE FROM log_streams WHERE log_group=?", (name,))
            connection.execute("DELETE FROM log_groups WHERE name=?", (name,))

    def remove_stream(self, group: str, name: str) -> None:
        number = self.check_stream(group, name)
        with self.store.write() as connection:
            connection.execute("DELETE FROM log_events WHERE stream=?", (number,))
            connection.execute("DELETE FROM log_streams WHERE id=?", (number,))

    def check_group(self, name: str) -> None:
        found = self.store.read().execute("SELECT 1 FROM log_groups WHERE name=?", (name,)).fetchone()
        if not found:
            raise ServiceError("ResourceNotFoundException", "The specified log group does not exist.")

    def check_stream(self, group: str, name: str) -> int:
        self.check_group(group)
        return self._stream(group, name)

    def _stream(self, group: str, name: str) -> int:
        row = (
            self.store.read()
            .execute("SELECT id FROM log_streams WHERE log_group=? AND name=?", (group, name))
            .fetchone()
        )
        if row is None:
            raise ServiceError("ResourceNotFoundException", "The specified log stream does not exist.")
        return int(row["id"])

    def groups(self, *, prefix: str = "", after: str = "", limit: int = 50) -> list[Any]:
        """Return rows (name, created), sorted by name."""
        return (
            self.store.read()
            .execute(
                "SELECT name, created FROM log_groups WHERE substr(name, 1, ?) = ? AND name > ? ORDER BY name LIMIT ?",
                (len(prefix), prefix, after, limit),
            )
            .fetchall()
        )

    def streams(self, group: str, *, prefix: str = "") -> list[Any]:
        """Return the rows of a group's streams, sorted by name."""
        self.check_group(group)
        return (
            self.store.read()
            .execute(
                "SELECT * FROM log_streams WHERE log_group=? AND substr(name, 1, ?) = ? ORDER BY name",
                (group, len(prefix), prefix),
            )
            .fetchall()
        )

    def after(self, streams: dict[int, str], place: Place, *, window: tuple[int, int], limit: int) -> list[Event]:
        """Return the next `limit` events after `place`, oldest first.

        `streams`: id -> name; window: ms, [start, end).
        """
        return self._select(streams, "(time, id) > (?, ?)", place, window=window, order="ASC", limit=limit)

    def before(self, streams: dict[int, str], place: Place, *, window: tuple[int, int], limit: int) -> list[Event]:
        """Return the last `limit` events before `place`, oldest first."""
        found = self._select(streams, "(time, id) < (?, ?)", place, window=window, order="DESC", limit=limit)
        return found[::-1]

    def _select(
        self,
        streams: dict[int, str],
        condition: str,
        place: Place,
        *,
        window: tuple[int, int],
        order: str,
        limit: int,
    ) -> list[Event]:
        marks = ",".join("?" * len(streams))
        rows = self.store.read().execute(
            f"SELECT * FROM log_events WHERE stream IN ({marks}) AND {condition} AND time >= ? AND time < ?"
            f" ORDER BY time {order}, id {order} LIMIT ?",
            (*streams, *place, *window, limit),
        )
        return [Event(row["id"], streams[row["stream"]], row["time"], row["ingested"], row["message"]) for row in rows]


def now_ms() -> int:
    return time.time_ns() // 1_000_000
