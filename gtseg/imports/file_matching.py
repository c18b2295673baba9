"""Matching of file names in annotations with files of a folder; tools write absolute paths, URLs and prefixes."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

from gtseg.core.images.formats import IMAGE_SUFFIXES
from gtseg.core.output_names import fold

UPLOAD_PREFIX = re.compile(r"^[0-9a-f]{8}-(?=.)")
"""Label Studio adds eight hexadecimal digits to the name of an uploaded file."""


def plain_path(name: str) -> PurePosixPath:
    """Return the relative path, with forward slashes, in a POSIX path, Windows path or URL.

    The path of Label Studio's local files is in the query parameter `d`.
    """
    text = name.strip()
    if re.match(r"^[a-z][a-z0-9+.-]+://", text, re.IGNORECASE):
        text = unquote(urlsplit(text).path)
    elif text.startswith("/data/local-files/") and "?d=" in text:
        text = unquote(text.partition("?d=")[2])
    parts = [part for part in re.split(r"[/\\]", text) if part not in {"", "."}]
    if parts and re.fullmatch(r"[A-Za-z]:", parts[0]):
        parts = parts[1:]
    while ".." in parts:
        parts = parts[parts.index("..") + 1 :]
    return PurePosixPath(*parts) if parts else PurePosixPath("")


class ImageIndex:
    """Index of a folder's files by the last parts of their paths, regardless of case and Unicode form."""

    def __init__(self, root: Path, files: Sequence[Path]) -> None:
        self._root = root
        self._by_name: dict[str, list[Path]] = {}
        self._by_stem: dict[str, list[Path]] = {}
        for path in files:
            self._by_name.setdefault(fold(path.name), []).append(path)
            self._by_stem.setdefault(fold(path.stem), []).append(path)

    def find(self, name: str) -> Path | str:
        """Return the file whose path shares the most last parts with the name, or the reason why there is none."""
        wanted = plain_path(name)
        stripped = wanted.with_name(UPLOAD_PREFIX.sub("", wanted.name)) if wanted.name else wanted
        for candidate in dict.fromkeys((wanted, PurePosixPath(unquote(str(wanted))), stripped)):
            if candidate.name and (files := self._candidates(candidate)):
                return self._best(candidate, files)
        return "image not found in the folder"

    def matches_fully(self, name: str, path: Path) -> bool:
        """Return whether the name ends in the file's path below the folder, or that path ends in the name."""
        wanted = plain_path(name)
        depth = len(path.relative_to(self._root).parts)
        stripped = wanted.with_name(UPLOAD_PREFIX.sub("", wanted.name)) if wanted.name else wanted
        return any(self._common_parts(x, path)[0] >= min(len(x.parts), depth) for x in (wanted, stripped))

    def _candidates(self, wanted: PurePosixPath) -> list[Path]:
        found = self._by_name.get(fold(wanted.name), [])
        if not found and wanted.suffix.lower() not in IMAGE_SUFFIXES:
            found = self._by_stem.get(fold(wanted.name), [])
        return found

    def _best(self, wanted: PurePosixPath, files: Sequence[Path]) -> Path | str:
        ranked = sorted(files, key=lambda path: self._common_parts(wanted, path), reverse=True)
        best = [p for p in ranked if self._common_parts(wanted, p) == self._common_parts(wanted, ranked[0])]
        exact = [p for p in best if p.relative_to(self._root).as_posix() == str(wanted)]
        if len(best) == 1 or len(exact) == 1:
            return (exact or best)[0]
        return f"{len(best)} files of the folder match it, such as {best[0]} and {best[1]}"

    def _common_parts(self, wanted: PurePosixPath, path: Path) -> tuple[int, bool]:
        """Return how many last parts are equal, and whether the file name is equal in case and Unicode form, too."""
        count = 0
        for part, other in zip(reversed(wanted.parts), reversed(path.relative_to(self._root).parts), strict=False):
            if fold(part) != fold(other):
                break
            count += 1
        return count, wanted.name == path.name
