"""What the values of the crowd's masks mean for a job.

Value i is the i-th label of the job and 0 is the background, unless --label-values says otherwise; a label named void (or
ignore, unlabeled) is not counted and takes the void pixels. 255 is void, except in a folder whose masks hold 0 and 255 alone:
those are the background and one class. The product has the same rule in its own words; the halves share no code.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

__all__ = ["VOID", "Choice", "Meaning", "find_meaning", "parse_values"]

VOID = 255
VOID_LABELS = frozenset({"void", "ignore", "unlabeled", "unlabelled"})
FEWEST = 3
"""Labels from which on values 0 to n-1 are no accident; of two labels the second may well not occur."""


@dataclass(frozen=True)
class Choice:
    """What the user says of the masks: the labels' values in their order, the void value, and whether void may be dropped."""

    values: tuple[int, ...] = ()
    void: int | None = None
    drop_void: bool = False


@dataclass(frozen=True)
class Meaning:
    """For one job: value -> number among the labels that are no void label (255: void), and those labels' own indices from 1."""

    codes: dict[int, int]
    labels: tuple[int, ...]
    void: int | None
    """The index from 1 of the label that takes void pixels."""

    def to_job(self, mask: np.ndarray, void: np.ndarray) -> np.ndarray:
        """(H, W) numbers and (H, W) bool void pixels -> (H, W) uint8 the job's label indices."""
        answer: np.ndarray = np.array([0, *self.labels], np.uint8)[mask]
        answer[void] = self.void or 0
        return answer


def parse_values(text: str) -> tuple[int, ...]:
    """`0-10` or `1,3,5-7`. Raises ValueError."""
    values: list[int] = []
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        values += range(int(first), int(last if dash else first) + 1)
        if len(values) > 256:
            break
    if not values or len(set(values)) < len(values) or not all(0 <= value <= 255 for value in values):
        raise ValueError("want different values from 0 to 255")
    return tuple(values)


def find_meaning(seen: Collection[int], labels: Sequence[str], choice: Choice) -> Meaning:
    """The meaning of a set of masks that hold the values `seen`. Raises ValueError with the readings and their flags."""
    voids = [index for index, name in enumerate(labels, 1) if name.strip().casefold() in VOID_LABELS]
    named = tuple(index for index in range(1, len(labels) + 1) if index not in voids)
    void = voids[0] if voids else None
    codes = {VOID if choice.void is None else choice.void: VOID}
    if choice.values:
        if len(choice.values) != len(named):
            raise ValueError(f"--label-values gives {len(choice.values)} values, the job has {len(named)} labels")
        codes = {0: 0, VOID: VOID} | codes | {value: n for n, value in enumerate(choice.values, 1)}
        return Meaning(codes, named, void)
    if choice.void != VOID and VOID in seen and set(seen) <= {0, VOID, choice.void}:
        if len(named) != 1:
            raise ValueError(
                f"the masks hold 0 and 255 alone, the background and one class, but the job has {len(named)} labels: "
                "if 255 is void, --void 255"
            )
        chosen = {} if choice.void is None else codes
        return Meaning({0: 0, VOID: 1} | chosen, named, void)
    present = set(seen) - set(codes)
    if FEWEST <= len(named) == len(present) and present == set(range(len(named))):
        last = len(named)
        raise ValueError(
            f"the masks hold the values 0-{last - 1}, the job has {last} labels: either value i is the i-th label and the last "
            f"never occurs: --label-values 1-{last}; or value 0 is the first label: --label-values 0-{last - 1}"
        )
    return Meaning({n: n for n in range(len(named) + 1)} | codes, named, void)
