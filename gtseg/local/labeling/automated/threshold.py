"""The confidence threshold above which a model's labels are good enough, and a lower bound of their mean quality.

A threshold is chosen from data, so the mean quality above it is biased upward on the objects that it was chosen on. Only
a few thresholds are considered, fixed by the number of objects above them and never by their qualities:

  - Three chains of tests go from a high threshold to lower ones and end at the first that fails (fixed-sequence testing).
    Each test has the whole risk of its chain, and each chain a share of the job's: however many tests a chain makes, it
    accepts a threshold whose mean quality is below the target with that probability at most.
  - The reported bound is simultaneous: each threshold's own bound at a share of the risk divided by their number
    (Bonferroni). An accepted threshold has the target as its bound where that is higher.

A threshold just above the confidence of the (k + 1)-th best object leaves the k better ones an independent sample of what
lies above it.

The bound of one mean is that of Waudby-Smith and Ramdas, "Estimating means of bounded random variables by betting"
(JRSS B, 2024): exact for independent values in [0, 1] of any distribution, also for 20 of them. No such bound can be
much higher: of n objects that are all good, a share of 1 - risk ** (1 / n) of worthless ones may be missing by chance.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

__all__ = ["Threshold", "choose_threshold", "lower_bound", "share_risk"]

TARGET = 0.7  # expected mean IoU without background (developer guide, "Automated data labeling")
RISK = 0.05
SHARES = (1.0, 0.9, 0.8, 0.65, 0.5, 0.35, 0.2)  # of the validation objects that lie above a threshold
FEWEST = 8  # objects above a threshold: of fewer no bound reaches TARGET
CHAINS = (
    (0.65, 0.5),
    (0.35, 0.2),
    (0.2, 0.1),
)  # share of the objects above a chain's first threshold, share of the risk
STARTED_WITH = 30  # objects above a chain's first threshold at least, where there are so many: fewer prove little
REPORTED = 0.2  # share of the risk for the reported bound
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
    """The lowest accepted threshold; None if there is none. With probability 1 - `risk` its bound, `target` or more, holds.

    `confidences`: any numbers, the higher the surer; `qualities`: 0 to 1, of the same validation objects.
    """
    thresholds = bound_thresholds(confidences, qualities, risk=REPORTED * risk)
    sure, quality = np.asarray(confidences, float), np.asarray(qualities, float)
    accepted = len(thresholds)
    for first, share in find_chains(thresholds, len(sure)).items():
        place = first
        while place >= 0 and reaches(quality[sure >= thresholds[place].confidence], target, risk=share * risk):
            accepted = min(accepted, place)
            place -= 1
    if accepted == len(thresholds):
        return None
    found = thresholds[accepted]
    return replace(found, bound=max(found.bound, target))


def find_chains(thresholds: Sequence[Threshold], objects: int) -> dict[int, float]:
    """Where the chains begin, as positions in `thresholds` (the lowest first), and each one's share of the risk."""
    chains: dict[int, float] = {}
    for above, share in CHAINS:
        least = max(above * objects - 0.5, min(STARTED_WITH, objects))
        places = [place for place, threshold in enumerate(thresholds) if threshold.objects >= least]
        if places:
            chains[places[-1]] = chains.get(places[-1], 0.0) + share
    return chains


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


def share_risk(number: int) -> float:
    """The risk of round `number` (from 1): an eighth of RISK in each of the first seven, then halves. Their sum is RISK.

    Later models are better, so that their tests must not have less; data that a first model labels well passes any.
    """
    return math.ldexp(RISK / 8, -max(0, number - 7))


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


def reaches(values: np.ndarray, target: float, *, risk: float) -> bool:
    """Whether the lower bound of lower_bound is at least `target`."""
    return bool(len(values)) and float(values.mean()) >= target and lower_bound(values, risk=risk) >= target


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
