"""A whole object into a file, in pieces: memory is one piece, and one that is rewritten meanwhile is noticed."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from typing import IO

from gtseg.aws.s3 import Bulk, Fetched
from gtseg.errors import AWSError, StageError

DOWNLOADS = 5
"""Attempts at an object whose pieces cannot be checked one by one."""
PIECE = 8 * 1024 * 1024
"""Bytes a request: the fastest reader of a large manifest, and If-Match notices one that is rewritten meanwhile."""


def download(uri: str, bulk: Bulk, target: IO[bytes]) -> str:
    """Copy an object into an open file, return its ETag. AWSError; StageError where it was rewritten meanwhile."""
    for _ in range(DOWNLOADS):
        if (etag := _download(uri, bulk, target)) is not None:
            target.flush()
            return etag
    raise AWSError(f"GetObject {uri}", "DamagedBody", f"its MD5 was not its ETag {DOWNLOADS} times")


def _download(uri: str, bulk: Bulk, target: IO[bytes]) -> str | None:
    """The ETag, None where the bytes that came are not those that it stands for."""
    target.seek(0)
    target.truncate()
    digest = hashlib.md5(usedforsecurity=False)
    try:
        for piece in _pieces(uri, bulk):
            digest.update(piece.body)
            target.write(piece.body)
    except AWSError as error:
        if error.code == "InvalidRange":  # what S3 answers for an empty object
            return ""
        if error.code == "PreconditionFailed":
            raise StageError(f"{uri} was rewritten while it was read. Run the command again") from None
        raise
    return piece.etag if piece.md5 in ("", digest.hexdigest()) else None


def _pieces(uri: str, bulk: Bulk) -> Iterator[Fetched]:
    piece = bulk.get(uri, span=(0, PIECE))
    yield piece
    done = len(piece.body)
    while done < piece.size:
        piece = bulk.get(uri, span=(done, done + PIECE), if_match=piece.etag)
        yield piece
        done += len(piece.body)


def read_pieces(file: IO[bytes]) -> Iterator[bytes]:
    """A file's bytes from its start; several readers do not disturb each other."""
    offset = 0
    while piece := os.pread(file.fileno(), 256 * 1024, offset):
        yield piece
        offset += len(piece)
