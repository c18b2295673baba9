"""What becomes of a new file once its bytes are on disk, written down before they are.

A row of the index may refer only to a file that is on disk, and no answer may come before that row is: two waits for the
disk, one after the other. So the row is promised first, in the table `intent`. The promise, the file's bytes and its name are
synced at the same time, in one wait. Then the row is written, which nobody waits for: after a power cut it is written
again from the promise, if the file is whole (`Intents.resume`).
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

__all__ = ["Intent", "Intents"]

TUPLES = ("parts", "part_checksums")
logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Intent:
    """A file becomes the object of a key, a part of an upload, or the object that an upload is completed with."""

    bucket: str
    key: str
    what: StoredObject | Part
    upload: str = ""
    """Of a part, or of the object that completes it."""


class Intents:
    def __init__(self, index: Index, uploads: Uploads) -> None:
        self._index, self._uploads = index, uploads

    def promise(self, intent: Intent) -> int:
        """Write down what shall become of a file; the position in the write-ahead log that must be synced."""
        with self._index.database.write() as connection:
            connection.execute("INSERT INTO intent VALUES(?,?)", (intent.what.file, _pack(intent)))
        return self._index.database.position

    def forget(self, intent: Intent) -> None:
        """Nothing shall become of a file; on disk when this returns, where the disk takes anything."""
        with self._index.database.write() as connection:
            connection.execute("DELETE FROM intent WHERE file=?", (intent.what.file,))
        self._index.database.log.wait()

    def carry_out(self, intent: Intent, condition: Condition | None = None, *, is_promised: bool = False) -> None:
        """Write the row of a file that is on disk. Raises ServiceError where it may not be.

        `is_promised`: the promise is on disk too, so that nobody waits for the row.
        """
        what = intent.what
        with self._index.database.write(is_repeatable=is_promised) as connection:
            connection.execute("DELETE FROM intent WHERE file=?", (what.file,))
            if isinstance(what, Part):
                self._uploads.put_part(self._uploads.find(intent.bucket, intent.key, intent.upload), what)
            elif intent.upload:
                upload = self._uploads.find(intent.bucket, intent.key, intent.upload)
                self._uploads.complete(upload, what, condition=condition)
            else:
                self._index.replace(what, condition=condition)

    def resume(self, files: Files) -> int:
        """After a start: carry out what is left where the file is whole, and forget the rest; how many were carried out.

        Whoever sent them has an answer only if the server went on for long enough to be sure of them, or has none yet.
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
            except (ServiceError, ValueError, TypeError, KeyError):  # its bucket or upload is gone
                pass
            with self._index.database.write() as connection:
                connection.execute("DELETE FROM intent WHERE file=?", (file,))
        if rows:
            logger.info("%d of %d interrupted uploads were whole", done, len(rows))
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
