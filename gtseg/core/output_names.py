"""Output names from input paths: unique, stable and independent of the order of the paths."""

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
"""Maximum bytes of a name: file systems allow 255, and extensions and temporary suffixes are added."""


def fold(name: str) -> str:
    """Return a form that is equal for names that a case-insensitive or normalizing file system treats as one."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def unique_names(paths: Sequence[str]) -> list[str]:
    """Return a file name without suffix for every path (forward slashes), all distinct in any file system.

    The stem, if it is unique; else with the folders before it, joined by dashes; then with the suffix; then with eight
    digits of the path's SHA-256. The result does not depend on the order of the paths.
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
    """Raise ManifestError if two sources have the same output name."""
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
