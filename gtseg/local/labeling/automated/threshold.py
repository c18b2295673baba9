"""The confidence threshold above which a model's labels are accepted, and a lower bound of their mean quality.

A threshold is chosen from data, so the mean quality above it is biased upward on the objects it was chosen on. Only a
few thresholds are considered, fixed by the number of objects above them and not by their qualities:

  - Three chains of tests go from a high threshold to lower ones and end at the first that fails (fixed-sequence
    testing). Each test has the whole risk of its chain, and each chain a share of the job's: regardless of the number
    of its tests, a chain accepts a threshold with a mean quality below the target with that probability at most.
  - The reported bound is simultaneous: each threshold's own bound at a share of the risk divided by their number
    (Bonferroni). An accepted threshold has the target as its bound if that is higher.

With a threshold just above the confidence of the (k + 1)-th best object, the k better ones are an independent sample of
the objects above it.

The bound of a mean is that of Waudby-Smith and Ramdas, "Estimating means of bounded random variables by betting" (JRSS
B, 2024): valid for independent values in [0, 1] of any distribution, even for 20 of them. No such bound can be much
higher: with n good objects, a share of 1 - risk ** (1 / n) of worthless ones may be missing by chance.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

TARGET = 0.7
"""Expected mean IoU without background (developer guide, "Automated data labeling")."""
RISK = 0.05
SHARES = (1.0, 0.9, 0.8, 0.65, 0.5, 0.35, 0.2)
"""Shares of the validation objects above each threshold considered."""
FEWEST = 8
"""Smallest number of objects above a threshold; with fewer, no bound reaches TARGET."""
CHAINS = ((0.65, 0.5), (0.35, 0.2), (0.2, 0.1))
"""(share of the objects above the chain's first threshold, share of the risk) of each chain."""
STARTED_WITH = 30
"""Smallest number of objects above a chain's first threshold, if there are that many; fewer give weak bounds."""
REPORTED = 0.2
"""Share of the risk for the reported bound."""
ORDERS = 16
"""Number of random orders of the objects over which the bets are averaged."""
BOLDEST = 0.95
"""Largest share of the wealth in a bet."""
STEPS = 26
"""Bisection steps, for a precision of 1e-7."""


@dataclass(frozen=True)
class Threshold:
    """A threshold: objects with at least this `confidence` have a mean quality of at least `bound`.

    `objects` of the validation set are above it, with a mean quality of `mean`.
    """

    confidence: float
    bound: float
    mean: float
    objects: int


def choose_threshold(
    confidences: Sequence[float], qualities: Sequence[float], *, target: float = TARGET, risk: float = RISK
) -> Threshold | None:
    """Return the lowest accepted threshold; None if there is none.

    With probability 1 - `risk` its bound, which is at least `target`, holds. `confidences` are any numbers, higher for
    more confident; `qualities` are 0 to 1, of the same validation objects.
    """
    thresholds = bound_thresholds(confidences, qualities, risk=REPORTED * risk)
    sure, quality = np.asarray(confidences, float), np.asarray(qualities, float)
    accepted = len(thresholds)
    for first, share in find_chains(thresholds, len(sure)).items():
        place = first
        while place >= 0 and has_bound(quality[sure >= thresholds[place].confidence], target, risk=share * risk):
            accepted = min(accepted, place)
            place -= 1
    if accepted == len(thresholds):
        return None
    found = thresholds[accepted]
    return replace(found, bound=max(found.bound, target))


def find_chains(thresholds: Sequence[Threshold], objects: int) -> dict[int, float]:
    """Return the start of each chain, as a position in `thresholds` (lowest first), with its share of the risk."""
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
    """Return all thresholds considered, lowest first. With probability 1 - `risk` all their bounds hold.

    Raises ValueError for values out of range or of different shapes.
    """
    sure, quality = np.asarray(confidences, float), np.asarray(qualities, float)
    if sure.shape != quality.shape or sure.ndim != 1:
        raise ValueError(f"confidences of shape {sure.shape} do not match qualities of shape {quality.shape}")
    if not np.isfinite(sure).all() or not ((quality >= 0) & (quality <= 1)).all():
        raise ValueError("confidences must be finite and qualities from 0 to 1")
    counts = sorted({round(share * len(sure)) for share in SHARES}, reverse=True)
    counts = [count for count in counts if count >= FEWEST]
    found = []
    for confidence in dict.fromkeys(find_confidence(sure, count) for count in counts):
        above = quality[sure >= confidence]
        if len(above):
            bound = lower_bound(above, risk=risk / len(counts))
            found.append(Threshold(confidence, bound, float(above.mean()), len(above)))
    return found


def risk_of_round(number: int) -> float:
    """Return the risk of round `number` (from 1): RISK / 8 in each of the first seven, then half as much each time.

    The sum is RISK. Later models are better, so their tests must not have less risk; data that a first model labels
    well passes any test.
    """
    return math.ldexp(RISK / 8, -max(0, number - 7))


def find_confidence(confidences: np.ndarray, count: int) -> float:
    """Return the threshold just below the `count` most confident objects; ties stay together."""
    if count >= len(confidences):
        return -math.inf
    return float(np.nextafter(np.sort(confidences)[::-1][count], math.inf))


def lower_bound(values: np.ndarray, *, risk: float) -> float:
    """Return the lower confidence bound, at level 1 - `risk`, of the mean from a sample of (n,) `values` in [0, 1]."""
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


def has_bound(values: np.ndarray, target: float, *, risk: float) -> bool:
    """Return whether `lower_bound` of the values is at least `target`."""
    return bool(len(values)) and float(values.mean()) >= target and lower_bound(values, risk=risk) >= target


def size_bets(ordered: np.ndarray, risk: float) -> np.ndarray:
    """Return the bet on each value, (orders, n), from the variance of the values before it."""
    n = ordered.shape[1]
    seen = np.arange(1, n + 1)
    means = (0.5 + np.cumsum(ordered, 1)) / (seen + 1)
    variances = (0.25 + np.cumsum((ordered - means) ** 2, 1)) / (seen + 1)
    before = np.concatenate([np.full((len(ordered), 1), 0.25), variances[:, :-1]], 1)
    bets: np.ndarray = np.sqrt(2 * math.log(1 / risk) / (n * before))
    return bets


def log_wealth(ordered: np.ndarray, bets: np.ndarray, mean: float) -> float:
    """Return the log of the wealth from bets that the mean exceeds `mean`, starting at 1, averaged over orders.

    The wealth is a nonnegative supermartingale if the mean is at most `mean`; by Ville's inequality it exceeds 1 / risk
    with a probability of at most `risk`.
    """
    sized = np.minimum(bets, BOLDEST / max(mean, 1e-9))
    wealth = np.log1p(sized * (ordered - mean)).sum(1)
    top = float(wealth.max())
    return top + math.log(float(np.exp(wealth - top).mean()))
