"""Files of strangers: which files of a folder are read, how much of one, and how a new one is written.

Only regular files inside the folder are taken: no FIFO, no device, and no link that leaves the folder unless links
are followed on request. Hidden files (and the resource forks of a Mac) are none.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Callable, Container, Iterator
from dataclasses import dataclass
from pathlib import Path

from gtseg.core.account import Loss, merge_losses
from gtseg.core.images.formats import has_suffix
from gtseg.errors import ManifestError, StageError

MOST_TEXT = 2_000_000_000
"""Bytes of an annotation file: beyond that it is no file of annotations."""


def read_text(path: Path, what: str) -> str:
    """The text of a file that somebody named: UTF-8 with or without a mark, or UTF-16 with one. ManifestError else."""
    try:
        if path.is_file() and path.stat().st_size > MOST_TEXT:
            raise ManifestError(f"{path}: {path.stat().st_size:,} bytes, {what} has at most {MOST_TEXT:,}")
        body = path.read_bytes()
        return body.decode("utf-16" if body[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig")
    except OSError as error:
        raise ManifestError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeError as error:
        raise ManifestError(f"{path}: not readable as {what}: {error}") from error


@dataclass(frozen=True)
class Listing:
    """The files taken, sorted, and those that were left alone with the reason."""

    files: tuple[Path, ...]
    losses: tuple[Loss, ...] = ()


def require_folder(folder: Path) -> Path:
    if not folder.is_dir():
        raise StageError(f"{folder}: no such folder")
    return folder


def list_files(
    root: Path, suffixes: Container[str] | None, *, unit: str = "image", follow_links: bool = False
) -> Listing:
    """The regular files below `root` that end in one of `suffixes` (None: all); `unit` names them in losses."""
    files: list[Path] = []
    losses: list[Loss] = []
    inside = root.resolve()
    for path in sorted(_walk(root, inside, follow_links, losses.append)):
        if suffixes is None and path.name.startswith("."):
            continue
        if suffixes is not None and not has_suffix(path.name, suffixes):
            continue
        if reason := _refuse(path, inside, follow_links):
            losses.append(Loss(unit, reason, str(path)))
        else:
            files.append(path)
    return Listing(tuple(files), merge_losses(losses))


def _walk(root: Path, inside: Path, follow: bool, lose: Callable[[Loss], None]) -> Iterator[Path]:
    seen: set[str] = set()
    for place, folders, names in os.walk(root, followlinks=follow):
        real = os.path.realpath(place)
        if real in seen:  # links that lead round in a circle
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in folders if not follow else ():
            path = Path(place, name)
            if path.is_symlink() and not path.resolve().is_relative_to(inside):
                lose(Loss("folder", LEAVES, str(path)))
        yield from (Path(place, name) for name in names)


LEAVES = "a link that leaves its folder: --follow-links takes it"


def _refuse(path: Path, inside: Path, follow: bool) -> str:
    mode = 0
    with contextlib.suppress(OSError):
        mode = path.stat().st_mode
    if not mode:
        return "a link to nothing"
    if not stat.S_ISREG(mode):
        return "no regular file"
    return "" if follow or not path.is_symlink() or path.resolve().is_relative_to(inside) else LEAVES
