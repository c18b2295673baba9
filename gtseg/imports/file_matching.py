"""Which file of a folder an entry of an annotation file means: tools write paths of other machines, URLs, prefixes."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

from gtseg.core.images.formats import IMAGE_SUFFIXES
from gtseg.core.output_names import fold

UPLOAD_PREFIX = re.compile(r"^[0-9a-f]{8}-(?=.)")
"""Label Studio puts eight hexadecimal digits before the name of an uploaded file."""


def plain_path(name: str) -> PurePosixPath:
    """A relative path with forward slashes of a path, a Windows path or a web address (`?d=` of Label Studio's local files)."""
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
    """The files of a folder by the ends of their paths, in any case and Unicode form."""

    def __init__(self, root: Path, files: Sequence[Path]) -> None:
        self._root = root
        self._by_name: dict[str, list[Path]] = {}
        self._by_stem: dict[str, list[Path]] = {}
        for path in files:
            self._by_name.setdefault(fold(path.name), []).append(path)
            self._by_stem.setdefault(fold(path.stem), []).append(path)

    def find(self, name: str) -> Path | str:
        """The one file whose path agrees with the name's end the longest; else why there is none, in words."""
        wanted = plain_path(name)
        stripped = wanted.with_name(UPLOAD_PREFIX.sub("", wanted.name)) if wanted.name else wanted
        for candidate in dict.fromkeys((wanted, PurePosixPath(unquote(str(wanted))), stripped)):
            if candidate.name and (files := self._candidates(candidate)):
                return self._best(candidate, files)
        return "no such image in the folder"

    def is_whole(self, name: str, path: Path) -> bool:
        """Whether the file's whole path below the folder is the end of the name, or the name the end of the path."""
        wanted = plain_path(name)
        own = len(path.relative_to(self._root).parts)
        stripped = wanted.with_name(UPLOAD_PREFIX.sub("", wanted.name)) if wanted.name else wanted
        return any(self._agreement(x, path)[0] >= min(len(x.parts), own) for x in (wanted, stripped))

    def _candidates(self, wanted: PurePosixPath) -> list[Path]:
        found = self._by_name.get(fold(wanted.name), [])
        if not found and wanted.suffix.lower() not in IMAGE_SUFFIXES:
            found = self._by_stem.get(fold(wanted.name), [])
        return found

    def _best(self, wanted: PurePosixPath, files: Sequence[Path]) -> Path | str:
        ranked = sorted(files, key=lambda path: self._agreement(wanted, path), reverse=True)
        best = [p for p in ranked if self._agreement(wanted, p) == self._agreement(wanted, ranked[0])]
        exact = [p for p in best if p.relative_to(self._root).as_posix() == str(wanted)]
        if len(best) == 1 or len(exact) == 1:
            return (exact or best)[0]
        return f"{len(best)} files of the folder could be it: {best[0]}, {best[1]}"

    def _agreement(self, wanted: PurePosixPath, path: Path) -> tuple[int, bool]:
        """How many last parts agree, and whether the name does to the letter."""
        count = 0
        for mine, its in zip(reversed(wanted.parts), reversed(path.relative_to(self._root).parts), strict=False):
            if fold(mine) != fold(its):
                break
            count += 1
        return count, wanted.name == path.name
