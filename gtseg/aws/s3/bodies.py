"""Request body that is read from a file in pieces, again for every attempt."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import IO

PIECE = 256 * 1024


@dataclass(frozen=True)
class FileBody:
    """Contents of an open file, which must not change during the request."""

    file: IO[bytes]

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[bytes]:
        offset = 0
        while piece := os.pread(self.file.fileno(), min(PIECE, self._size - offset), offset):
            yield piece
            offset += len(piece)

    @cached_property
    def sha256(self) -> str:
        digest = hashlib.sha256()
        for piece in self:
            digest.update(piece)
        return digest.hexdigest()

    @cached_property
    def _size(self) -> int:
        self.file.flush()
        return os.fstat(self.file.fileno()).st_size
