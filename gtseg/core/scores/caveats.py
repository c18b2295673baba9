"""What makes a score say less than it seems to, in words for people: to be read before the number."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from gtseg.core.plurals import counted
from gtseg.core.scores.evaluation import Result
from gtseg.core.scores.intervals import MIN_IMAGES

MUCH_VOID = 0.05
"""Share of void pixels from which on it is said."""
LIKELY_SWAP = 0.2
"""By how much the agreement must grow if classes were renumbered, before that is said."""
LIKELY_FIT = 0.5
"""And how much of the pixels must agree then."""


def concerns(result: Result, names: Sequence[str]) -> Iterator[str]:
    """Warnings: classes without a true pixel, void pixels, numbers that follow another convention, too few images."""
    yield from _absent(result, names)
    whole = result.pixels + result.void_pixels
    if whole and result.void_pixels > MUCH_VOID * whole:
        yield f"{result.void_pixels:,} of {whole:,} pixels ({result.void_pixels / whole:.0%}) are void and in no score"
    if words := _renumbered(np.array(result.confusion, np.int64), names):
        yield words
    if 0 < result.images < MIN_IMAGES:
        yield f"no interval: {why_no_interval(result.images)}"


def why_no_interval(images: int) -> str:
    return f"{counted(images, 'image')} {'are' if images > 1 else 'is'} too few to say how uncertain a score is; {MIN_IMAGES} are the least"


def _absent(result: Result, names: Sequence[str]) -> Iterator[str]:
    for index, (name, one) in enumerate(zip(names, result.classes, strict=True)):
        if one.truth_pixels or index == 0:
            continue
        if one.predicted_pixels:
            yield f"class {name!r} has no true pixel; {one.predicted_pixels:,} are predicted, so its IoU is 0 whatever they are"
        else:
            yield f"class {name!r} has no true pixel and is not predicted: it is in no score"
    if result.pixels and sum(1 for one in result.classes if one.truth_pixels) == 1:
        only = next(name for name, one in zip(names, result.classes, strict=True) if one.truth_pixels)
        yield f"every true pixel is {only}: agreement on it alone says nothing about the other classes"


def _renumbered(confusion: NDArray[np.int64], names: Sequence[str]) -> str:
    """What is said where another numbering of the predicted classes fits the truth far better; '' where none does.

    Held against all pixels, and against those that are truly no background: small objects hardly move the first.
    """
    partner = _match(confusion)
    for rows, where in ((range(len(confusion)), "pixels"), (range(1, len(confusion)), "pixels of objects")):
        total = int(confusion[list(rows)].sum())
        agree = sum(int(confusion[row, row]) for row in rows)
        other = sum(int(confusion[row, partner[row]]) for row in rows if row in partner)
        if total and other - agree >= LIKELY_SWAP * total and other >= LIKELY_FIT * total:
            moved = [f"{names[t]} = {names[p]}" for t, p in sorted(partner.items()) if t != p]
            return (
                f"predictions and masks look like different conventions: {agree / total:.0%} of the {where} agree, but "
                f"{other / total:.0%} would if the predicted classes were renumbered (true = predicted: {', '.join(moved[:6])}). "
                "Check the order of the classes and where their numbers begin"
            )
    return ""


def _match(confusion: NDArray[np.int64]) -> dict[int, int]:
    """True class -> the predicted class that covers it, the largest overlaps first, each class once."""
    partner: dict[int, int] = {}
    for flat in np.argsort(confusion, axis=None, kind="stable")[::-1].tolist():
        truth, predicted = divmod(flat, len(confusion))
        if confusion[truth, predicted] == 0 or len(partner) == len(confusion):
            break
        if truth not in partner and predicted not in partner.values():
            partner[truth] = predicted
    return partner
