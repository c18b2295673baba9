"""Whether stored bytes are the ones that were put: the MD5 of an object is its ETag.

A small object is checked each time it is read: against its ETag, or against a hash of this process over bytes that were
put or checked before, which costs a tenth. A file is checked before it is read for the first time in the life of a
server, and again when its size, its time of change or its inode are others; a file that this server wrote was hashed on its way
to the disk. So a damaged object is never served as good, and hashing costs no second read. What only a reread of the disk
can find, such as a sector that goes bad under a running server, `gtseg local check` finds.
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Sequence

__all__ = ["Checked", "find_damage", "hash_file", "is_intact"]

BLOCK_BYTES = 1 << 20
REMEMBERED = 200_000
Identity = tuple[int, int, int]


def hash_file(descriptor: int, sizes: Sequence[int]) -> list[bytes]:
    """MD5 of each consecutive stretch of a file; fewer than `sizes` where it ends early."""
    digests: list[bytes] = []
    position = 0
    for size in sizes:
        md5, end = hashlib.md5(usedforsecurity=False), position + size
        while position < end:
            block = os.pread(descriptor, min(BLOCK_BYTES, end - position), position)
            if not block:
                return digests
            md5.update(block)
            position += len(block)
        digests.append(md5.digest())
    return digests


def is_intact(content: bytes, etag: str) -> bool:
    """Whether these bytes are what a plain ETag says."""
    return hashlib.md5(content, usedforsecurity=False).hexdigest() == etag


def find_damage(descriptor: int, *, size: int, etag: str, parts: Sequence[int] = ()) -> str:
    """What is wrong with a file; "" if it is the object of this size and ETag."""
    actual = os.fstat(descriptor).st_size
    if actual != size:
        return f"it has {actual} bytes instead of {size}"
    plain, _, count = etag.partition("-")
    if not count:
        found = hash_file(descriptor, [size])
        return "" if [bytes.fromhex(plain)] == found else "its bytes are not those of its ETag"
    if sum(parts) != size or str(len(parts)) != count:
        return "the sizes of its parts are not those of its ETag"
    found = hash_file(descriptor, parts)
    whole = hashlib.md5(b"".join(found), usedforsecurity=False).hexdigest()
    return "" if whole == plain else "its bytes are not those of its ETag"


class Checked:
    """The files whose bytes are known, and what was wrong with them."""

    def __init__(self) -> None:
        self._found: dict[int, tuple[Identity, str]] = {}
        self._small: dict[int, int] = {}
        self._lock = threading.Lock()

    def trust(self, number: int, descriptor: int) -> None:
        """Note a file that this process has written, from bytes that were hashed or checked."""
        self._keep(number, _identify(os.fstat(descriptor)), "")

    def recall(self, number: int, descriptor: int) -> str | None:
        """What was found about a file; None if it has not been looked at as it is now."""
        kept = self._found.get(number)
        return kept[1] if kept is not None and kept[0] == _identify(os.fstat(descriptor)) else None

    def examine(self, number: int, descriptor: int, *, size: int, etag: str, parts: Sequence[int] = ()) -> str:
        """What is wrong with a file, by an earlier look or a new one; "" if nothing is."""
        known = self.recall(number, descriptor)
        if known is not None:
            return known
        identity = _identify(os.fstat(descriptor))
        damage = find_damage(descriptor, size=size, etag=etag, parts=parts)
        self._keep(number, identity, damage)
        return damage

    def trust_small(self, number: int, content: bytes) -> None:
        """Note the bytes of a small object whose MD5 has been computed."""
        if len(self._small) >= REMEMBERED:
            self._small.clear()
        self._small[number] = hash(content)

    def is_small_intact(self, number: int, content: bytes, etag: str) -> bool:
        """Return whether these bytes of a small object are those of its ETag."""
        if self._small.get(number) == hash(content):
            return True
        if not is_intact(content, etag):
            return False
        self.trust_small(number, content)
        return True

    def forget(self, number: int) -> None:
        self._found.pop(number, None)

    def _keep(self, number: int, identity: Identity, damage: str) -> None:
        with self._lock:
            if len(self._found) >= REMEMBERED:
                self._found.clear()
            self._found[number] = (identity, damage)


def _identify(status: os.stat_result) -> Identity:
    return status.st_ino, status.st_size, status.st_mtime_ns
