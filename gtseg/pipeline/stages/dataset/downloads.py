"""Download of a whole object to a file in parts, with constant memory.

Detects an object that is overwritten meanwhile.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from typing import IO

from gtseg.aws.s3 import Bulk, Fetched
from gtseg.errors import AWSError, StageError

DOWNLOADS = 5
"""Attempts at an object whose parts have no checksums."""
PIECE = 8 * 1024 * 1024
"""Bytes per request: fastest for a large manifest; If-Match detects an object that is overwritten meanwhile."""


def download(uri: str, bulk: Bulk, target: IO[bytes]) -> str:
    """Copy an object to an open file and return its ETag.

    Raises AWSError; StageError if it was overwritten meanwhile.
    """
    for _ in range(DOWNLOADS):
        if (etag := _download(uri, bulk, target)) is not None:
            target.flush()
            return etag
    raise AWSError(f"GetObject {uri}", "DamagedBody", f"its MD5 differed from its ETag {DOWNLOADS} times")


def _download(uri: str, bulk: Bulk, target: IO[bytes]) -> str | None:
    """Return the ETag, None if the received bytes do not match it."""
    target.seek(0)
    target.truncate()
    digest = hashlib.md5(usedforsecurity=False)
    try:
        for piece in _pieces(uri, bulk):
            digest.update(piece.body)
            target.write(piece.body)
    except AWSError as error:
        if error.code == "InvalidRange":  # S3's response for an empty object
            return ""
        if error.code == "PreconditionFailed":
            raise StageError(f"{uri} was overwritten while it was read. Run the command again") from None
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
    """Yield a file's bytes from its start; several readers are independent."""
    offset = 0
    while piece := os.pread(file.fileno(), 256 * 1024, offset):
        yield piece
        offset += len(piece)
