"""Class index of every name of a source: background and void names, and names that differ only in spelling.

Equal names are one class. Names that differ only in case, spaces or Unicode form are probably one class; the user has
to decide.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from gtseg.core.classes import MAX_CLASSES, VOID
from gtseg.core.masks.names import fold, group_alike, is_background
from gtseg.errors import SettingsError

VOID_NAMES = frozenset({"void", "ignore", "unlabeled", "unlabelled"})
MOST_CLASSES = MAX_CLASSES - 1


@dataclass(frozen=True)
class ClassNames:
    """The classes in order (index 1, 2, ...) and the index of every name of the source: 0 background, 255 void."""

    classes: tuple[str, ...]
    index: Mapping[str, int]


class LookalikeNames(SettingsError):
    """Names differ only in case, spaces or Unicode form; `groups` holds them."""

    def __init__(self, groups: Sequence[tuple[str, ...]]) -> None:
        self.groups = tuple(groups)
        shown = "; ".join(" and ".join(repr(name) for name in group) for group in groups)
        super().__init__(
            f"class names that differ only in case, spaces or Unicode form: {shown}. "
            "--merge-labels makes each group one class, --keep-labels keeps them apart"
        )


def is_void_name(name: str) -> bool:
    """Return whether the name means void: void, ignore, unlabeled in any case."""
    return fold(name).strip("_") in VOID_NAMES


def arrange_names(names: Sequence[str], *, merge: bool | None = None) -> ClassNames:
    """Return the index of every name, in order of first appearance.

    `merge`: True makes names that differ only in spelling one class, False keeps them apart, None raises
    LookalikeNames. Raises SettingsError if a name is empty, or if no class or too many remain.
    """
    real = [name for name in names if not is_background(name) and not is_void_name(name)]
    if any(not name.strip() for name in real):
        raise SettingsError("a class has an empty name: give it one")
    groups = group_alike(real)
    if groups and merge is None:
        raise LookalikeNames(groups)
    first = {name: group[0] for group in groups for name in group} if merge else {}
    classes = tuple(dict.fromkeys(first.get(name, name) for name in real))
    if len(classes) > MOST_CLASSES:
        raise SettingsError(
            f"{len(classes)} classes: the built-in algorithm accepts {MOST_CLASSES} besides background and void"
        )
    position = {name: index for index, name in enumerate(classes, 1)}
    index = {name: position[first.get(name, name)] for name in real}
    others = {name: 0 if is_background(name) else VOID for name in names if name not in index}
    return ClassNames(classes, {**index, **others})
