"""The confidence from which on a model's labels are good enough, and the quality that they have at least.

Thresholds are chosen from data, so the mean quality above the chosen one is too good on the very objects that it was
chosen on. Here each of a few thresholds, fixed by the number of objects above them and never by their qualities, gets a
lower confidence bound of its own at level `risk` divided by their number (Bonferroni): with probability 1 - risk all
of them hold, whichever is chosen. A threshold at the confidence of the k-th best object leaves the k - 1 better ones an
independent sample of what lies above it.

The bound of one mean is that of Waudby-Smith and Ramdas, "Estimating means of bounded random variables by betting"
(JRSS B, 2024): exact for independent values in [0, 1] of any distribution, also for 20 of them, and near the variance's
own width for many.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

__all__ = ["Threshold", "choose_threshold", "lower_bound"]

TARGET = 0.7  # expected mean IoU without background (developer guide, "Automated data labeling")
RISK = 0.05
SHARES = (1.0, 0.9, 0.8, 0.65, 0.5, 0.35, 0.2)  # of the validation objects that lie above a threshold
FEWEST = 8  # objects above a threshold: of fewer no bound reaches TARGET
ORDERS = 16  # random orders of the objects that the bets are averaged over
BOLDEST = 0.95  # share of what one has that is bet at most
STEPS = 26  # halvings: the bound is exact to 1e-7


@dataclass(frozen=True)
class Threshold:
    """Objects of at least this `confidence` have a mean quality of at least `bound`.

    `objects` of the validation set lie above it; their mean quality is `mean`.
    """

    confidence: float
    bound: float
    mean: float
    objects: int


def choose_threshold(
    confidences: Sequence[float], qualities: Sequence[float], *, target: float = TARGET, risk: float = RISK
) -> Threshold | None:
    """The lowest threshold whose bound reaches `target`; None if there is none.

    `confidences`: any numbers, the higher the surer; `qualities`: 0 to 1, of the same validation objects.
    """
    return next((t for t in bound_thresholds(confidences, qualities, risk=risk) if t.bound >= target), None)


def bound_thresholds(
    confidences: Sequence[float], qualities: Sequence[float], *, risk: float = RISK
) -> list[Threshold]:
    """All thresholds that are considered, the lowest first. With probability 1 - `risk` every bound holds."""
    sure, quality = np.asarray(confidences, float), np.asarray(qualities, float)
    if sure.shape != quality.shape or sure.ndim != 1:
        raise ValueError(f"{sure.shape} confidences for {quality.shape} qualities")
    if not np.isfinite(sure).all() or not ((quality >= 0) & (quality <= 1)).all():
        raise ValueError("confidences must be finite, qualities from 0 to 1")
    counts = sorted({round(share * len(sure)) for share in SHARES}, reverse=True)
    counts = [count for count in counts if count >= FEWEST]
    found = []
    for confidence in dict.fromkeys(find_confidence(sure, count) for count in counts):
        above = quality[sure >= confidence]
        if len(above):
            bound = lower_bound(above, risk=risk / len(counts))
            found.append(Threshold(confidence, bound, float(above.mean()), len(above)))
    return found


def find_confidence(confidences: np.ndarray, count: int) -> float:
    """The threshold that the `count` surest objects lie above: just over the next one, so that ties stay together."""
    if count >= len(confidences):
        return -math.inf
    return float(np.nextafter(np.sort(confidences)[::-1][count], math.inf))


def lower_bound(values: np.ndarray, *, risk: float) -> float:
    """The lower confidence bound, at level 1 - `risk`, of the mean of which (n,) `values` in [0, 1] are a sample."""
    if not len(values):
        return 0.0
    rng = np.random.default_rng(len(values))  # the orders must not depend on the values
    ordered = np.stack([rng.permutation(values) for _ in range(ORDERS)])  # (orders, n)
    bets = size_bets(ordered, risk)
    low, high = 0.0, float(values.mean())
    for _ in range(STEPS):
        middle = (low + high) / 2
        low, high = (middle, high) if log_wealth(ordered, bets, middle) >= -math.log(risk) else (low, middle)
    return low


def size_bets(ordered: np.ndarray, risk: float) -> np.ndarray:
    """(orders, n): what is bet on each value, from the variance of those before it alone."""
    n = ordered.shape[1]
    seen = np.arange(1, n + 1)
    means = (0.5 + np.cumsum(ordered, 1)) / (seen + 1)
    variances = (0.25 + np.cumsum((ordered - means) ** 2, 1)) / (seen + 1)
    before = np.concatenate([np.full((len(ordered), 1), 0.25), variances[:, :-1]], 1)
    bets: np.ndarray = np.sqrt(2 * math.log(1 / risk) / (n * before))
    return bets


def log_wealth(ordered: np.ndarray, bets: np.ndarray, mean: float) -> float:
    """What betting that the mean is above `mean` has made of 1, averaged over the orders, as a logarithm.

    It is a nonnegative martingale or less if the mean is at most `mean`: by Ville's inequality it exceeds 1 / risk
    with probability `risk` at most.
    """
    sized = np.minimum(bets, BOLDEST / max(mean, 1e-9))
    wealth = np.log1p(sized * (ordered - mean)).sum(1)
    top = float(wealth.max())
    return top + math.log(float(np.exp(wealth - top).mean()))
