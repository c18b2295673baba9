"""Output names from input paths: unique, stable, and the same whatever the order of the paths."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import PurePosixPath

from gtseg.errors import ManifestError

UNSAFE = re.compile("[\x00-\x1f\x7f/\\\\\ud800-\udfff]")
LONGEST = 180
"""Bytes of a name: file systems take 255, and endings and temporary names are added."""


def fold(name: str) -> str:
    """The same text for names that a case-insensitive or normalizing file system takes for one."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def unique_names(paths: Sequence[str]) -> list[str]:
    """A file name without suffix for every path (forward slashes), no two equal in any file system.

    The stem where no other path has it; else the folders before it, joined by dashes; then the suffix behind it; then
    eight digits of the path's SHA-256. It depends on which paths there are, not on their order.
    """
    levels = [0] * len(paths)
    names = [_candidate(path, 0) for path in paths]
    while True:
        counts = Counter(map(fold, names))
        clashing = [i for i, name in enumerate(names) if counts[fold(name)] > 1 and levels[i] < len(FORMS) - 1]
        if not clashing:
            break
        for i in clashing:
            levels[i] += 1
            names[i] = _candidate(paths[i], levels[i])
    require_unique(names, paths)
    return names


def require_unique(names: Sequence[str], sources: Sequence[str]) -> None:
    """Raise ManifestError naming two sources of one output name: neither may overwrite the other."""
    seen: dict[str, str] = {}
    for name, source in zip(names, sources, strict=True):
        if (other := seen.setdefault(fold(name), source)) is not source:
            raise ManifestError(f"{other} and {source} would both be written as {name!r}: rename one")


def _joined(path: PurePosixPath) -> str:
    return "-".join(part for part in path.with_suffix("").parts if part not in {"/", ".", ".."})


def _digest(path: PurePosixPath) -> str:
    return hashlib.sha256(str(path).encode("utf-8", "surrogatepass")).hexdigest()[:8]


FORMS: tuple[Callable[[PurePosixPath], str], ...] = (
    lambda path: path.stem,
    _joined,
    lambda path: f"{_joined(path)}-{path.suffix[1:].lower()}" if path.suffix else _joined(path),
    lambda path: f"{_joined(path)}-{_digest(path)}",
)


def _candidate(text: str, level: int) -> str:
    path = PurePosixPath(text)
    name = UNSAFE.sub("_", FORMS[level](path)).lstrip(".") or "image"
    if len(name.encode()) > LONGEST:
        cut = name.encode()[: LONGEST - 9].decode(errors="ignore")
        name = f"{cut}-{_digest(path)}"
    return name
