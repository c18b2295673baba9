"""Intents: what a new file is for, recorded before its bytes are on disk.

A row of the index may refer only to a file that is on disk, and a response must wait for that row: two disk syncs in
sequence. To need only one, the row is first recorded in the table `intent`. The intent, the file's bytes and its
directory entry are synced concurrently. Then the row is written without a wait: after a power failure it is written
again from the intent if the file is intact (`Intents.resume`).
"""

from __future__ import annotations

import json
import logging
import os
from dataclasses import asdict, dataclass
from typing import Any

from gtseg.local.errors import ServiceError
from gtseg.local.storage.files import Files
from gtseg.local.storage.index import Condition, Index
from gtseg.local.storage.stored import StoredObject
from gtseg.local.storage.uploads import Part, Uploads
from gtseg.local.storage.verification import find_damage

TUPLES = ("parts", "part_checksums")
logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Intent:
    """Purpose of a file: an object, a part of an upload, or the object that completes an upload."""

    bucket: str
    key: str
    what: StoredObject | Part
    upload: str = ""
    """Upload ID, for a part or for the object that completes the upload."""


class Intents:
    """The intents of an index."""

    def __init__(self, index: Index, uploads: Uploads) -> None:
        self._index, self._uploads = index, uploads

    def record(self, intent: Intent) -> int:
        """Record an intent; return the position in the write-ahead log that must be synced."""
        with self._index.database.write() as connection:
            connection.execute("INSERT INTO intent VALUES(?,?)", (intent.what.file, _pack(intent)))
        return self._index.database.position

    def forget(self, intent: Intent) -> None:
        """Delete an intent; the deletion is on disk when this returns, unless the disk fails."""
        with self._index.database.write() as connection:
            connection.execute("DELETE FROM intent WHERE file=?", (intent.what.file,))
        self._index.database.log.wait()

    def carry_out(self, intent: Intent, condition: Condition | None = None, *, is_recorded: bool = False) -> None:
        """Write the row of a file that is on disk.

        Raises ServiceError if the bucket or upload is gone or `condition` fails.

        `is_recorded`: the intent is on disk too, so that no response waits for the row.
        """
        what = intent.what
        with self._index.database.write(is_repeatable=is_recorded) as connection:
            connection.execute("DELETE FROM intent WHERE file=?", (what.file,))
            if isinstance(what, Part):
                self._uploads.put_part(self._uploads.find(intent.bucket, intent.key, intent.upload), what)
            elif intent.upload:
                upload = self._uploads.find(intent.bucket, intent.key, intent.upload)
                self._uploads.complete(upload, what, condition=condition)
            else:
                self._index.replace(what, condition=condition)

    def resume(self, files: Files) -> int:
        """Carry out the intents left at a start whose file is intact and delete the others.

        Return how many were carried out.

        Their clients have received a response only if the server ran until all of it was on disk; otherwise they retry.
        """
        rows = self._index.database.read().execute("SELECT file,what FROM intent ORDER BY file").fetchall()
        done = 0
        for file, packed in rows:
            try:
                intent = _unpack(packed)
                if _is_whole(files, intent.what):
                    self.carry_out(intent)
                    done += 1
                    continue
            except (ServiceError, ValueError, TypeError, KeyError):  # its bucket or upload no longer exists
                pass
            with self._index.database.write() as connection:
                connection.execute("DELETE FROM intent WHERE file=?", (file,))
        if rows:
            logger.info("%d of %d interrupted uploads were complete and have been stored", done, len(rows))
        return done


def _is_whole(files: Files, what: StoredObject | Part) -> bool:
    try:
        descriptor = os.open(files.locate(what.file), os.O_RDONLY)
    except OSError:
        return False
    try:
        parts = what.parts if isinstance(what, StoredObject) else ()
        return not find_damage(descriptor, size=what.size, etag=what.etag, parts=parts)
    except OSError:
        return False
    finally:
        os.close(descriptor)


def _pack(intent: Intent) -> str:
    kind = "part" if isinstance(intent.what, Part) else "object"
    about = {name: value for name, value in asdict(intent.what).items() if value not in ("", {}, ())}
    return json.dumps([intent.bucket, intent.key, intent.upload, kind, about], separators=(",", ":"))


def _unpack(text: str) -> Intent:
    bucket, key, upload, kind, about = json.loads(text)
    return Intent(bucket, key, _make(kind, about), upload)


def _make(kind: str, about: dict[str, Any]) -> StoredObject | Part:
    if kind == "part":
        return Part(**{"checksums": {}, **about})
    members: dict[str, Any] = {name: tuple(value) if name in TUPLES else value for name, value in about.items()}
    return StoredObject(**members)
