"""Multipart uploads in the index: unfinished uploads, their parts, and the uploads completed within a day.

A completed upload is remembered so that a client that lost the response can complete it again, as S3 allows.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field

from gtseg.local.errors import ServiceError
from gtseg.local.storage.index import Condition, Index, read_clock_ms, successor
from gtseg.local.storage.stored import StoredObject

REMEMBERED_MS = 24 * 3600 * 1000


@dataclass(frozen=True, slots=True)
class Upload:
    """A multipart upload with the attributes of the future object given to CreateMultipartUpload."""

    bucket: str
    key: str
    id: str = ""
    started_ms: int = 0
    content_type: str = ""
    metadata: dict[str, str] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    acl: str = ""
    algorithm: str = ""
    """Checksum algorithm; "" if none was requested."""
    checksum_type: str = ""


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a multipart upload."""

    number: int
    file: int
    size: int
    etag: str
    modified_ms: int
    checksums: dict[str, str]


def _no_such_upload(upload: str) -> ServiceError:
    return ServiceError(
        "NoSuchUpload",
        "The specified upload does not exist. The upload ID may be invalid, or the upload may have been aborted or "
        "completed.",
        404,
        fields={"UploadId": upload},
    )


class Uploads:
    """The multipart uploads of an index."""

    def __init__(self, index: Index) -> None:
        self._index, self._database = index, index.database

    def begin(self, upload: Upload) -> str:
        """Start an upload; return its ID."""
        identity = secrets.token_urlsafe(48)
        about = {name: value for name, value in asdict(upload).items() if value and name not in ("bucket", "key")}
        with self._database.write() as connection:
            self._index.check_bucket(upload.bucket)
            connection.execute(
                "INSERT INTO upload VALUES(?,?,?,?,?)",
                (identity, upload.bucket, upload.key.encode(), read_clock_ms(), json.dumps(about)),
            )
        return identity

    def find(self, bucket: str, key: str, identity: str) -> Upload:
        """Return an unfinished upload. Raises ServiceError NoSuchUpload or NoSuchBucket."""
        row = (
            self._database.read()
            .execute(
                "SELECT started,about FROM upload WHERE id=? AND bucket=? AND key=?",
                (identity, bucket, key.encode()),
            )
            .fetchone()
        )
        if row is None:
            self._index.check_bucket(bucket)
            raise _no_such_upload(identity)
        return Upload(bucket, key, id=identity, started_ms=row[0], **json.loads(row[1]))

    def put_part(self, upload: Upload, part: Part) -> None:
        """Store a part whose file is on disk, in place of an earlier part with the same number."""
        with self._database.write() as connection:
            self.find(upload.bucket, upload.key, upload.id)
            self._discard_parts("upload=? AND number=?", (upload.id, part.number))
            connection.execute(
                "INSERT INTO part VALUES(?,?,?,?,?,?,?)",
                (
                    upload.id,
                    part.number,
                    part.file,
                    part.size,
                    part.etag,
                    part.modified_ms,
                    json.dumps(part.checksums),
                ),
            )

    def list_parts(self, identity: str, *, after: int = 0, limit: int = 10_000) -> list[Part]:
        rows = self._database.read().execute(
            "SELECT number,file,size,etag,modified,checksums FROM part WHERE upload=? AND number>? "
            "ORDER BY number LIMIT ?",
            (identity, after, limit),
        )
        return [Part(row[0], row[1], row[2], row[3], row[4], json.loads(row[5])) for row in rows]

    def list_uploads(self, bucket: str, prefix: bytes) -> list[tuple[bytes, str, int]]:
        """Return (key, id, start in ms) of every upload under a prefix, sorted by key, then by time."""
        end = successor(prefix)
        below, bounds = ("", ()) if end is None else (" AND key<?", (end,))
        query = f"SELECT key,id,started FROM upload WHERE bucket=? AND key>=?{below} ORDER BY key,started,id"
        return self._database.read().execute(query, (bucket, prefix, *bounds)).fetchall()

    def abort(self, upload: Upload) -> None:
        with self._database.write():
            self.find(upload.bucket, upload.key, upload.id)
            self._forget(upload.id)

    def complete(self, upload: Upload, info: StoredObject, *, condition: Condition | None) -> None:
        """Replace the upload by the assembled object, in one transaction."""
        with self._database.write() as connection:
            self.find(upload.bucket, upload.key, upload.id)
            self._index.replace(info, condition=condition)
            self._forget(upload.id)
            now = read_clock_ms()
            connection.execute("DELETE FROM completed WHERE at<?", (now - REMEMBERED_MS,))
            connection.execute(
                "INSERT INTO completed VALUES(?,?,?,?,?)",
                (upload.id, info.bucket, info.key.encode(), info.etag, now),
            )

    def find_completed(self, bucket: str, key: str, identity: str) -> str | None:
        """Return the ETag of the object of an upload completed within a day; None if there is none."""
        row = (
            self._database.read()
            .execute(
                "SELECT etag FROM completed WHERE id=? AND bucket=? AND key=?",
                (identity, bucket, key.encode()),
            )
            .fetchone()
        )
        return None if row is None else str(row[0])

    def expire(self, *, before_ms: int) -> int:
        """Abort the uploads without activity since `before_ms`; return how many."""
        query = (
            "SELECT id FROM upload WHERE started<? AND NOT EXISTS"
            " (SELECT 1 FROM part WHERE part.upload=upload.id AND part.modified>=?)"
        )
        if self._database.read().execute(query, (before_ms, before_ms)).fetchone() is None:
            return 0
        with self._database.write() as connection:
            abandoned = [row[0] for row in connection.execute(query, (before_ms, before_ms))]
            for identity in abandoned:
                self._forget(identity)
        return len(abandoned)

    def _forget(self, identity: str) -> None:
        with self._database.write() as connection:
            self._discard_parts("upload=?", (identity,))
            connection.execute("DELETE FROM upload WHERE id=?", (identity,))

    def _discard_parts(self, where: str, bounds: Sequence[object]) -> None:
        with self._database.write() as connection:
            files = [row[0] for row in connection.execute(f"SELECT file FROM part WHERE {where}", bounds)]
            self._index.discard_files(files)
            connection.execute(f"DELETE FROM part WHERE {where}", bounds)
