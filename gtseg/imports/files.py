"""Listing of a folder's files, and reading of text files, both from untrusted sources.

Only regular files inside the folder are read: no FIFOs, no devices, and no links that lead out of the folder, unless
the user asks to follow links. Hidden files, including macOS resource forks, are ignored.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Container, Iterator
from dataclasses import dataclass
from pathlib import Path

from gtseg.core.account import Loss, merge_losses
from gtseg.core.images.formats import has_suffix
from gtseg.errors import ManifestError, StageError

MAX_TEXT_BYTES = 2_000_000_000
"""Maximum size of an annotation file."""
OUTSIDE_LINK = "link that leads out of the folder; use --follow-links to include it"


def read_text(path: Path, what: str) -> str:
    """Return the text of a file: UTF-8 with or without a byte order mark, or UTF-16 with one.

    `what` names the expected content in errors. Raises ManifestError if the file is missing, too large, or not text.
    """
    try:
        if path.is_file() and path.stat().st_size > MAX_TEXT_BYTES:
            raise ManifestError(
                f"{path}: {path.stat().st_size:,} bytes exceed the maximum of {MAX_TEXT_BYTES:,} for {what}"
            )
        body = path.read_bytes()
        return body.decode("utf-16" if body[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig")
    except OSError as error:
        raise ManifestError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeError as error:
        raise ManifestError(f"{path}: not readable as {what}: {error}") from error


@dataclass(frozen=True)
class Listing:
    """Files, sorted, and the ones that were excluded with the reason."""

    files: tuple[Path, ...]
    losses: tuple[Loss, ...] = ()


def require_folder(folder: Path) -> Path:
    if not folder.is_dir():
        raise StageError(f"{folder}: folder not found")
    return folder


def list_files(
    root: Path, suffixes: Container[str] | None, *, unit: str = "image", follow_links: bool = False
) -> Listing:
    """Return the regular files below `root` that end in one of `suffixes` (None: all); `unit` names them in losses."""
    files: list[Path] = []
    losses: list[Loss] = []
    inside = root.resolve()
    for path in sorted(_find_files(root, inside, follow_links, losses)):
        if suffixes is None and path.name.startswith("."):
            continue
        if suffixes is not None and not has_suffix(path.name, suffixes):
            continue
        if reason := _exclusion(path, inside, follow_links):
            losses.append(Loss(unit, reason, str(path)))
        else:
            files.append(path)
    return Listing(tuple(files), merge_losses(losses))


def _find_files(root: Path, inside: Path, follow: bool, losses: list[Loss]) -> Iterator[Path]:
    seen: set[str] = set()
    for place, folders, names in os.walk(root, followlinks=follow):
        real = os.path.realpath(place)
        if real in seen:  # a cycle of links
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in folders if not follow else ():
            path = Path(place, name)
            if path.is_symlink() and not path.resolve().is_relative_to(inside):
                losses.append(Loss("folder", OUTSIDE_LINK, str(path)))
        yield from (Path(place, name) for name in names)


def _exclusion(path: Path, inside: Path, follow: bool) -> str:
    """Return why a file is excluded, '' if it is not."""
    mode = 0
    with contextlib.suppress(OSError):
        mode = path.stat().st_mode
    if not mode:
        return "broken link"
    if not stat.S_ISREG(mode):
        return "not a regular file"
    return "" if follow or not path.is_symlink() or path.resolve().is_relative_to(inside) else OUTSIDE_LINK
