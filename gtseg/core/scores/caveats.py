"""Warnings about scores that are less meaningful than they look, to be read before the number."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from gtseg.core.plurals import counted
from gtseg.core.scores.evaluation import Result
from gtseg.core.scores.intervals import MIN_IMAGES

MUCH_VOID = 0.05
"""Share of void pixels above which a warning is given."""
LIKELY_SWAP = 0.2
"""Minimum gain in agreement, as a share of pixels, for the warning about renumbered classes."""
LIKELY_FIT = 0.5
"""Minimum agreement after renumbering, as a share of pixels, for that warning."""


def score_warnings(result: Result, names: Sequence[str]) -> Iterator[str]:
    """Yield warnings: classes without true pixels, void pixels, numbers of another convention, too few images."""
    yield from _absent(result, names)
    whole = result.pixels + result.void_pixels
    if whole and result.void_pixels > MUCH_VOID * whole:
        yield f"{result.void_pixels:,} of {whole:,} pixels ({result.void_pixels / whole:.0%}) are void and not scored"
    if words := _renumbered(np.array(result.confusion, np.int64), names):
        yield words
    if 0 < result.images < MIN_IMAGES:
        yield f"no interval: {why_no_interval(result.images)}"


def why_no_interval(images: int) -> str:
    return (
        f"{counted(images, 'image')} {'are' if images > 1 else 'is'} too few to estimate the uncertainty of a score; "
        f"the minimum is {MIN_IMAGES}"
    )


def _absent(result: Result, names: Sequence[str]) -> Iterator[str]:
    for index, (name, one) in enumerate(zip(names, result.classes, strict=True)):
        if one.truth_pixels or index == 0:
            continue
        if one.predicted_pixels:
            yield f"class {name!r} has no true pixel; {one.predicted_pixels:,} are predicted, so its IoU is always 0"
        else:
            yield f"class {name!r} has no true pixel and is not predicted: it is not scored"
    if result.pixels and sum(1 for one in result.classes if one.truth_pixels) == 1:
        only = next(name for name, one in zip(names, result.classes, strict=True) if one.truth_pixels)
        yield f"every true pixel is {only}: the scores do not cover the other classes"


def _renumbered(confusion: NDArray[np.int64], names: Sequence[str]) -> str:
    """Return a warning if another numbering of the predicted classes fits the truth far better, else ''.

    It is checked on all pixels and on the true foreground, because small objects hardly affect the score of all pixels.
    """
    partner = _match(confusion)
    for rows, where in ((range(len(confusion)), "pixels"), (range(1, len(confusion)), "pixels of objects")):
        total = int(confusion[list(rows)].sum())
        agree = sum(int(confusion[row, row]) for row in rows)
        other = sum(int(confusion[row, partner[row]]) for row in rows if row in partner)
        if total and other - agree >= LIKELY_SWAP * total and other >= LIKELY_FIT * total:
            moved = [f"{names[t]} = {names[p]}" for t, p in sorted(partner.items()) if t != p]
            return (
                f"predictions and masks seem to use different conventions: {agree / total:.0%} of the {where} agree, "
                f"but {other / total:.0%} would if the predicted classes were renumbered (true = predicted: "
                f"{', '.join(moved[:6])}). Check the order of the classes and their first number"
            )
    return ""


def _match(confusion: NDArray[np.int64]) -> dict[int, int]:
    """Return {true class: predicted class} by largest overlap first, each class once."""
    partner: dict[int, int] = {}
    for flat in np.argsort(confusion, axis=None, kind="stable")[::-1].tolist():
        truth, predicted = divmod(flat, len(confusion))
        if confusion[truth, predicted] == 0 or len(partner) == len(confusion):
            break
        if truth not in partner and predicted not in partner.values():
            partner[truth] = predicted
    return partner
