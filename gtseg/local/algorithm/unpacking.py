"""model.tar.gz -> files, within limits: an owner may have the archive from anybody.

What tarfile's `data` filter refuses (absolute paths, paths and links that lead out of the folder, devices) is refused by
name; beyond that no link at all is taken, and members, bytes and the rate of compression have an end. AWS documents no
such limits; the container's own artifacts have three files.
"""

from __future__ import annotations

import gzip
import io
import shutil
import tarfile
from collections.abc import Iterator
from pathlib import Path

__all__ = ["MEMBERS", "BadArchive", "unpack"]

MEMBERS = 2000
TOTAL_BYTES = 8 << 30
RATIO, ALWAYS = 200, 256 << 20
"""Unpacked bytes for each packed one, once more than ALWAYS are unpacked. Weights hardly shrink; zeros do a thousandfold."""
BLOCK = HEADER_BYTES = 1 << 20
NAMING = (
    tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK, tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE,
)  # fmt: skip


class BadArchive(Exception):
    """Says what is wrong with which member."""


def unpack(path: Path, folder: Path) -> None:
    """Every file of a tar.gz below `folder`. Raises BadArchive, or OSError and EOFError where it cannot be read."""
    limit = min(TOTAL_BYTES, max(ALWAYS, RATIO * path.stat().st_size))
    with path.open("rb") as packed, Bounded(gzip.GzipFile(fileobj=packed), limit) as stream:
        try:
            with tarfile.open(fileobj=stream, mode="r|", tarinfo=Header) as archive:
                for member in _checked(archive, folder):
                    _write(archive, member, folder)
        except tarfile.TarError as error:
            raise BadArchive(str(error)) from None


class Header(tarfile.TarInfo):
    """Refuses headers that go on for megabytes: tarfile keeps a name, or a table of them, in memory."""

    def _proc_member(self, tarfile_: tarfile.TarFile) -> tarfile.TarInfo:
        if self.type not in tarfile.SUPPORTED_TYPES or self.type in NAMING:
            self._check_size()
        member: tarfile.TarInfo = super()._proc_member(tarfile_)  # type: ignore[misc]
        return member

    def _check_size(self) -> None:
        if self.size > HEADER_BYTES:
            raise BadArchive(f"a header of {self.size:,} bytes")


class Bounded(io.RawIOBase):
    """A stream that ends with BadArchive once more than `limit` bytes have been read of it."""

    def __init__(self, stream: gzip.GzipFile, limit: int) -> None:
        super().__init__()
        self._stream, self._limit, self._left = stream, limit, limit

    def read(self, size: int = BLOCK) -> bytes:
        data = self._stream.read(min(size, BLOCK))
        self._left -= len(data)
        if self._left < 0:
            raise BadArchive(
                f"it unpacks to more than {self._limit:,} bytes, far more than it was packed from"
            )
        return data

    def close(self) -> None:
        self._stream.close()
        super().close()


def _checked(archive: tarfile.TarFile, folder: Path) -> Iterator[tarfile.TarInfo]:
    for number, member in enumerate(archive, 1):
        if number > MEMBERS:
            raise BadArchive(f"it has more than {MEMBERS} members")
        if member.issym() or member.islnk():
            raise BadArchive(f"{_name(member)} is a link to {member.linkname[:100]!r}")
        if not (member.isfile() or member.isdir()) or member.issparse():
            raise BadArchive(f"{_name(member)} is neither a plain file nor a folder")
        try:
            yield tarfile.data_filter(member, str(folder))
        except tarfile.FilterError as error:
            raise BadArchive(str(error)) from None


def _write(archive: tarfile.TarFile, member: tarfile.TarInfo, folder: Path) -> None:
    target = folder / member.name
    if member.isdir():
        target.mkdir(parents=True, exist_ok=True)
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    source = archive.extractfile(member)
    assert source is not None
    with target.open("wb") as file:
        shutil.copyfileobj(source, file, BLOCK)
        if file.tell() != member.size:
            raise BadArchive(f"{_name(member)} ends early")


def _name(member: tarfile.TarInfo) -> str:
    return repr(member.name[:100])
