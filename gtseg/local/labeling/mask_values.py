"""Meaning of the pixel values of the crowd's masks for a job.

Value i is the i-th label of the job and 0 is the background, unless --label-values says otherwise. A label named void
(or ignore, unlabeled) is not counted and takes the void pixels. 255 is void, except in a folder whose masks hold only 0
and 255: those are the background and one class. The pipeline implements the same rule in
gtseg.core.masks.class_values, since the two halves share no code.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

VOID = 255
VOID_LABELS = frozenset({"void", "ignore", "unlabeled", "unlabelled"})
FEWEST = 3
"""Number of labels from which the values 0 to n - 1 are ambiguous; with two labels, the second may be absent."""


@dataclass(frozen=True)
class ValueOptions:
    """The user's options: the values of the labels in order, the void value, whether void becomes background."""

    values: tuple[int, ...] = ()
    void: int | None = None
    drop_void: bool = False


@dataclass(frozen=True)
class ValueMeaning:
    """Meaning of the values for one job.

    `codes` maps a value to a number among the labels that are not void labels (255: void); `labels` holds those labels'
    indices in the job, from 1.
    """

    codes: dict[int, int]
    labels: tuple[int, ...]
    void: int | None
    """Index, from 1, of the label that takes void pixels; None if there is none."""

    def to_job(self, mask: np.ndarray, void: np.ndarray) -> np.ndarray:
        """Convert (H, W) numbers and (H, W) bool void pixels to (H, W) uint8 label indices of the job."""
        answer: np.ndarray = np.array([0, *self.labels], np.uint8)[mask]
        answer[void] = self.void or 0
        return answer


def parse_values(text: str) -> tuple[int, ...]:
    """Parse `0-10` or `1,3,5-7`. Raises ValueError."""
    values: list[int] = []
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        values += range(int(first), int(last if dash else first) + 1)
        if len(values) > 256:
            break
    if not values or len(set(values)) < len(values) or not all(0 <= value <= 255 for value in values):
        raise ValueError("give distinct values from 0 to 255, such as 1,3,5-7")
    return tuple(values)


def find_meaning(seen: Collection[int], labels: Sequence[str], options: ValueOptions) -> ValueMeaning:
    """Return the meaning of masks that hold the values `seen`.

    Raises ValueError with the possible interpretations and their options.
    """
    voids = [index for index, name in enumerate(labels, 1) if name.strip().casefold() in VOID_LABELS]
    named = tuple(index for index in range(1, len(labels) + 1) if index not in voids)
    void = voids[0] if voids else None
    codes = {VOID if options.void is None else options.void: VOID}
    if options.values:
        if len(options.values) != len(named):
            raise ValueError(f"--label-values has {len(options.values)} values, but the job has {len(named)} labels")
        codes = {0: 0, VOID: VOID} | codes | {value: n for n, value in enumerate(options.values, 1)}
        return ValueMeaning(codes, named, void)
    if options.void != VOID and VOID in seen and set(seen) <= {0, VOID, options.void}:
        if len(named) != 1:
            raise ValueError(
                f"the masks hold only 0 and 255, the background and one class, but the job has {len(named)} labels: "
                "if 255 is void, use --void 255"
            )
        chosen = {} if options.void is None else codes
        return ValueMeaning({0: 0, VOID: 1} | chosen, named, void)
    present = set(seen) - set(codes)
    if FEWEST <= len(named) == len(present) and present == set(range(len(named))):
        last = len(named)
        raise ValueError(
            f"the masks hold the values 0-{last - 1}, and the job has {last} labels: if value i is the i-th label and "
            f"the last does not occur, use --label-values 1-{last}; if value 0 is the first label, use --label-values "
            f"0-{last - 1}"
        )
    return ValueMeaning({n: n for n in range(len(named) + 1)} | codes, named, void)
