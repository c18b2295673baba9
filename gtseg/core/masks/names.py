"""Spelling of class names: the background's usual names, and names that differ only in spelling."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable

BACKGROUND_NAMES = frozenset({"background", "_background_", "__background__", "bg"})
"""Names of index 0 in labelme, Label Studio, CVAT, Pascal VOC and Ground Truth, case-folded."""


def fold(name: str) -> str:
    """Return the form shared by names that differ only in spelling: NFKC, case-folded, without spaces."""
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())
    return "".join(folded.split())


def is_background(name: str) -> bool:
    return fold(name) in BACKGROUND_NAMES


def group_alike(names: Iterable[str]) -> list[tuple[str, ...]]:
    """Return groups of names that differ only in case, spaces or Unicode form, in order of their first name."""
    groups: dict[str, dict[str, None]] = {}
    for name in names:
        groups.setdefault(fold(name), {})[name] = None
    return [tuple(group) for group in groups.values() if len(group) > 1]
