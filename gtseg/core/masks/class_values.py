"""Meaning of the values of index masks; one rule for `demo`, `evaluate` and `import masks --labels`.

Value i is the i-th label and 0 is the background, unless a table or `--label-values` says otherwise. 255 is void,
except in a set of masks that hold 0 and 255 only: those are the background and one class. The rule applies to the whole
set, never to one file. A set that does not match the labels is rejected, with each interpretation and its option.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gtseg.core.classes import BACKGROUND, MAX_CLASSES, VOID
from gtseg.core.masks.names import is_background
from gtseg.core.plurals import counted
from gtseg.errors import SettingsError


@dataclass(frozen=True)
class Numbering:
    """Class names by index (0 is the background), and {value: index} for every value of the set; 255 is void."""

    names: tuple[str, ...]
    codes: Mapping[int, int]
    notes: tuple[str, ...] = ()
    """Decisions that the user may want to change."""

    @property
    def is_identity(self) -> bool:
        return all(value == index for value, index in self.codes.items())

    def apply(self, mask: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Map (H, W) uint8 values to (H, W) uint8 class indices; values outside the set stay unchanged."""
        if self.is_identity:
            return mask
        table = np.arange(256, dtype=np.uint8)
        for value, index in self.codes.items():
            table[value] = index
        return table[mask]


def parse_values(text: str) -> tuple[int, ...]:
    """Parse `0-10` or `1,3,5-7`. Raises SettingsError."""
    values: list[int] = []
    for part in filter(None, (piece.strip() for piece in text.split(","))):
        first, dash, last = part.partition("-")
        ends = [end.strip() for end in ((first, last) if dash else (first, first))]
        if not all(end.isascii() and end.isdecimal() and int(end) <= 255 for end in ends):
            raise SettingsError(f"--label-values {text}: must be values from 0 to 255, such as 0-10 or 1,3")
        values += range(int(ends[0]), int(ends[1]) + 1)
    if len(set(values)) < len(values) or not values:
        raise SettingsError(f"--label-values {text}: values must differ, such as 0-10 or 1,3")
    return tuple(values)


def number_masks(
    found: Collection[int],
    labels: Sequence[str] = (),
    *,
    values: Sequence[int] = (),
    void: int | None = None,
    source: str = "--labels",
    what: str = "the masks",
) -> Numbering:
    """Return the meaning of a set of masks with the values `found`, under these labels (or names by number).

    `values`: the labels' own values; `void`: the value that is void (None: by the rule). Raises SettingsError with the
    possible interpretations and their options if the values do not match the labels.
    """
    named = _without_background(labels, source=source)
    if values:
        return _by_values(found, named, values, void=void, source=source, what=what)
    seen = set(found) - {VOID if void is None else void}
    if is_binary(found, void=void):
        return _binary(named, void=void, source=source, what=what)
    if named:
        _refuse_misfit(seen, named, starts_with_background=len(named) < len(labels), source=source, what=what)
    if (highest := max(seen, default=0)) >= MAX_CLASSES:
        raise SettingsError(
            f"{what} hold the value {highest}: the limit is {MAX_CLASSES} classes with the background. If the values "
            "are colors or gray levels, `gtseg import masks --colors FILE` reads them"
        )
    names = named or tuple(f"class-{number}" for number in range(1, max(1, highest) + 1))
    return Numbering((BACKGROUND, *names), {value: value if value in seen else VOID for value in found})


def is_binary(found: Collection[int], *, void: int | None = None) -> bool:
    """Return whether a set of masks holds 0 and 255 only, so that 255 is its one class."""
    return void != VOID and VOID in found and set(found) <= {0, VOID, void}


def _without_background(labels: Sequence[str], *, source: str) -> tuple[str, ...]:
    named = tuple(labels[1:] if labels and is_background(labels[0]) else labels)
    if len(named) >= MAX_CLASSES:
        raise SettingsError(
            f"{source} names {len(named)} classes; the limit is {MAX_CLASSES - 1} besides the background"
        )
    if twice := sorted({name for name in named if named.count(name) > 1}):
        raise SettingsError(f"{source} names a class twice: {', '.join(twice)}")
    return named


def _by_values(
    found: Collection[int],
    named: tuple[str, ...],
    values: Sequence[int],
    *,
    void: int | None,
    source: str,
    what: str,
) -> Numbering:
    if len(named) != len(values):
        raise SettingsError(
            f"--label-values gives {counted(len(values), 'value')}, {source} names {counted(len(named), 'label')}"
        )
    if void in values:
        raise SettingsError(f"--void {void} is a value of --label-values")
    codes = {0: 0, VOID: VOID} | ({} if void is None else {void: VOID})
    codes |= {value: index for index, value in enumerate(values, 1)}
    if lost := set(found) - set(codes):
        raise SettingsError(f"{what} hold {spell_values(lost)}, which --label-values does not name")
    return Numbering((BACKGROUND, *named), {value: codes[value] for value in found})


def _binary(named: tuple[str, ...], *, void: int | None, source: str, what: str) -> Numbering:
    if len(named) > 1:
        raise SettingsError(
            f"{what} hold 0 and 255 only, which is the background and one class, but {source} names {len(named)}: "
            f"{', '.join(named)}. If 255 is one of them, name that one only; if 255 is void and no label occurs, "
            "--void 255"
        )
    name = named[0] if named else "class-1"
    codes = {0: 0, VOID: 1} | ({} if void is None else {void: VOID})
    return Numbering(
        (BACKGROUND, name), codes, (f"{what} hold 0 and 255 only: 255 is {name}. If it is void: --void 255",)
    )


def _refuse_misfit(
    seen: set[int], named: tuple[str, ...], *, starts_with_background: bool, source: str, what: str
) -> None:
    count, highest = len(named), max(seen, default=0)
    if highest > count:
        raise SettingsError(_too_high(seen, named, source=source, what=what))
    if count > 1 and not starts_with_background and seen == set(range(count)):
        raise SettingsError(
            f"{what} hold the values 0-{highest}, {source} names {count} labels: either value i is the i-th label, 0 "
            f"is the background and {named[-1]!r} never occurs: --label-values 1-{count}; or the labels count from 0 "
            f"and value 0 is {named[0]!r}: --label-values 0-{highest}"
        )


def _too_high(seen: set[int], named: tuple[str, ...], *, source: str, what: str) -> str:
    count, highest = len(named), max(seen)
    readings = [
        f"either value i is the i-th label, and {source} must name all {highest}, including those that never occur"
    ]
    given = sorted(seen - {0})
    if len(given) == count:
        readings.append(f"or the labels are these values in this order: --label-values {spell_values(given)}")
    elif len(seen) == count:
        readings.append(f"or the labels are these values in this order: --label-values {spell_values(seen)}")
    else:
        readings.append("or name the value of each label: --label-values V1,V2,...")
    return (
        f"{what} hold the value {highest} (values: {spell_values(seen)}), {source} names {count} "
        f"{'label' if count == 1 else 'labels'}, {', '.join(named[:12])}: {'; '.join(readings)}"
    )


def spell_values(values: Collection[int]) -> str:
    """Return values as `1,3,5-7`."""
    runs: list[list[int]] = []
    for value in sorted(values):
        if runs and value == runs[-1][1] + 1:
            runs[-1][1] = value
        else:
            runs.append([value, value])
    return ",".join(str(a) if a == b else f"{a}-{b}" for a, b in runs)
