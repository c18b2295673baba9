"""Extraction of model.tar.gz within limits, because the archive may come from an untrusted source.

Rejected by name: what tarfile's `data` filter rejects (absolute paths, paths and links out of the folder, devices) and
any other link. The number of members, bytes, path lengths and the compression ratio are limited. AWS documents no such
limits; the container's own artifacts have three files.
"""

from __future__ import annotations

import gzip
import io
import shutil
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

MEMBERS = 2000
PATH_BYTES, PART_BYTES, DEPTH = 1024, 255, 32
TOTAL_BYTES = 8 << 30
RATIO, ALWAYS = 200, 256 << 20
"""Maximum ratio of extracted to compressed bytes beyond ALWAYS bytes.

Weights hardly compress; zeros do a thousandfold.
"""
BLOCK = HEADER_BYTES = 1 << 20
NAMING = (
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
)


class BadArchive(Exception):
    """The archive is rejected; the text names the member and the reason."""


def unpack(path: Path, folder: Path) -> None:
    """Extract a tar.gz to `folder`. Raises BadArchive, or OSError if it cannot be read or written."""
    limit = min(TOTAL_BYTES, max(ALWAYS, RATIO * path.stat().st_size))
    with path.open("rb") as packed, Bounded(gzip.GzipFile(fileobj=packed), limit) as stream:
        try:
            with tarfile.open(fileobj=stream, mode="r|", tarinfo=Header) as archive:
                for member in _checked(archive, folder):
                    _write(archive, member, folder)
        except (BadArchive, OSError) as error:
            if isinstance(error, gzip.BadGzipFile):
                raise BadArchive(str(error)) from None
            raise
        except (tarfile.TarError, EOFError, zlib.error) as error:
            raise BadArchive(str(error)) from None
        except Exception as error:  # tarfile does not catch exceptions of int() or lists for malformed headers
            raise BadArchive(f"a header cannot be read: {type(error).__name__}: {str(error)[:100]}") from None


class Header(tarfile.TarInfo):
    """Member header with a size limit: tarfile holds names and tables of names in memory.

    Sparse files are rejected before tarfile reads their map, which may never end.
    """

    def _proc_member(self, tarfile_: tarfile.TarFile) -> tarfile.TarInfo:
        if self.type not in tarfile.SUPPORTED_TYPES or self.type in NAMING:
            self._check_size()
        member: tarfile.TarInfo = super()._proc_member(tarfile_)  # type: ignore[misc]
        return member

    def _check_size(self) -> None:
        if self.size > HEADER_BYTES:
            raise BadArchive(f"a header has {self.size:,} bytes")

    def _refuse_holes(self, *_: object) -> NoReturn:
        raise BadArchive(f"{_name(self)} is neither a regular file nor a folder")

    _proc_sparse = _proc_gnusparse_00 = _proc_gnusparse_01 = _proc_gnusparse_10 = _refuse_holes


class Bounded(io.RawIOBase):
    """A stream that raises BadArchive once more than `limit` bytes have been read."""

    def __init__(self, stream: gzip.GzipFile, limit: int) -> None:
        super().__init__()
        self._stream, self._limit, self._left = stream, limit, limit

    def read(self, size: int = BLOCK) -> bytes:
        data = self._stream.read(min(size, BLOCK))
        self._left -= len(data)
        if self._left < 0:
            raise BadArchive(f"it expands to more than {self._limit:,} bytes, far more than its compressed size")
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
            raise BadArchive(f"{_name(member)} is neither a regular file nor a folder")
        _check_path(member)
        try:
            yield tarfile.data_filter(member, str(folder))
        except tarfile.FilterError as error:
            raise BadArchive(str(error)) from None


def _check_path(member: tarfile.TarInfo) -> None:
    parts = member.name.split("/")
    if "\0" in member.name:
        raise BadArchive(f"{_name(member)} has a NUL in its path")
    if len(parts) > DEPTH:
        raise BadArchive(f"{_name(member)} is more than {DEPTH} folders deep")
    sizes = [len(part.encode("utf-8", "surrogateescape")) for part in parts]
    if sum(sizes) + len(parts) > PATH_BYTES or max(sizes) > PART_BYTES:
        raise BadArchive(f"{_name(member)} has a path of more than {PATH_BYTES} bytes, or {PART_BYTES} in one name")


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
