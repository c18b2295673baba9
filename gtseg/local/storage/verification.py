"""Integrity checks of stored bytes: an object's ETag is its MD5.

A small object is checked on every read: against its ETag, or against a hash of this process over bytes that were
checked before, which takes a tenth of the time. A file is checked before its first read in the life of a server, and
again when its size, modification time or inode changes; a file that this server wrote was hashed while it was written.
A damaged object is thus never served as intact, and hashing needs no second read. Damage that only rereading the disk
can find, such as a sector that fails under a running server, is found by `gtseg local check`.
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Sequence

BLOCK_BYTES = 1 << 20
REMEMBERED = 200_000
Identity = tuple[int, int, int]


def hash_file(descriptor: int, sizes: Sequence[int]) -> list[bytes]:
    """Return the MD5 of each consecutive range of a file, with the lengths `sizes`; fewer if the file ends early."""
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
    """Return whether the MD5 of `content` is the plain ETag `etag`."""
    return hashlib.md5(content, usedforsecurity=False).hexdigest() == etag


def find_damage(descriptor: int, *, size: int, etag: str, parts: Sequence[int] = ()) -> str:
    """Return a description of a file's damage; "" if it has this size and ETag."""
    actual = os.fstat(descriptor).st_size
    if actual != size:
        return f"it has {actual} bytes instead of {size}"
    plain, _, count = etag.partition("-")
    if not count:
        found = hash_file(descriptor, [size])
        return "" if [bytes.fromhex(plain)] == found else "its bytes do not match its ETag"
    if sum(parts) != size or str(len(parts)) != count:
        return "the sizes of its parts do not match its ETag"
    found = hash_file(descriptor, parts)
    whole = hashlib.md5(b"".join(found), usedforsecurity=False).hexdigest()
    return "" if whole == plain else "its bytes do not match its ETag"


class Checked:
    """Results of file checks, by file number, valid while the file is unchanged."""

    def __init__(self) -> None:
        self._found: dict[int, tuple[Identity, str]] = {}
        self._small: dict[int, int] = {}
        self._lock = threading.Lock()

    def trust(self, number: int, descriptor: int) -> None:
        """Record as intact a file that this process wrote from bytes that were hashed or checked."""
        self._keep(number, _identify(os.fstat(descriptor)), "")

    def recall(self, number: int, descriptor: int) -> str | None:
        """Return the recorded result for a file; None if it has not been checked in its current state."""
        kept = self._found.get(number)
        return kept[1] if kept is not None and kept[0] == _identify(os.fstat(descriptor)) else None

    def examine(self, number: int, descriptor: int, *, size: int, etag: str, parts: Sequence[int] = ()) -> str:
        """Return a file's damage, from the recorded result or a new check; "" if it is intact."""
        known = self.recall(number, descriptor)
        if known is not None:
            return known
        identity = _identify(os.fstat(descriptor))
        damage = find_damage(descriptor, size=size, etag=etag, parts=parts)
        self._keep(number, identity, damage)
        return damage

    def trust_small(self, number: int, content: bytes) -> None:
        """Record the bytes of a small object whose MD5 has been computed."""
        if len(self._small) >= REMEMBERED:
            self._small.clear()
        self._small[number] = hash(content)

    def is_small_intact(self, number: int, content: bytes, etag: str) -> bool:
        """Return whether the bytes of a small object match its ETag."""
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
