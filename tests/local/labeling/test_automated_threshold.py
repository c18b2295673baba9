"""The threshold of automated labeling, and its lower bound for different validation sets."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from gtseg.local.labeling.automated.threshold import (
    RISK,
    bound_thresholds,
    choose_threshold,
    lower_bound,
    risk_of_round,
)

Sample = tuple[np.ndarray, np.ndarray]
SETS = 72  # for each kind and size: 1,008 in all
MEASURED = np.loadtxt(Path(__file__).parents[2] / "data" / "automated-pairs.csv", delimiter=",").T
HELD = 0.93


def draw(kind: str, rng: np.random.Generator, size: int) -> Sample:
    """Draw confidences and qualities of `size` objects of a population."""
    sure = rng.random(size)
    if kind == "good":
        return sure, rng.beta(12, 2, size)
    if kind == "barely not good enough":
        return sure, rng.beta(7, 3.1, size)
    if kind == "rising with confidence":
        return sure, np.clip(0.2 + 0.75 * sure + rng.normal(0, 0.1, size), 0, 1)
    if kind == "right or wrong":
        return sure, (rng.random(size) < 0.3 + 0.69 * sure).astype(float)
    if kind == "ties":
        sure = np.round(sure * 3) / 3
        return sure, np.clip(0.5 + 0.4 * sure + rng.normal(0, 0.15, size), 0, 1)
    if kind == "measured":
        return tuple(MEASURED[:, rng.integers(0, MEASURED.shape[1], size)])  # type: ignore[return-value]
    return sure, rng.beta(2, 3, size)  # none good enough


KINDS = (
    "good",
    "barely not good enough",
    "rising with confidence",
    "right or wrong",
    "ties",
    "none good enough",
    "measured",
)


class Population:
    """A population large enough for exact mean qualities above a confidence."""

    def __init__(self, sample: Sample) -> None:
        order = np.argsort(-sample[0])
        self.confidences = sample[0][order]
        self.means = np.cumsum(sample[1][order]) / np.arange(1, len(order) + 1)

    def mean_above(self, confidence: float) -> float:
        count = int(np.searchsorted(-self.confidences, -confidence, side="right"))
        return float(self.means[count - 1]) if count else 1.0


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [20, 260])
def test_every_bound_holds_in_at_least_93_percent_of_validation_sets(kind: str, size: int) -> None:
    truth = Population(draw(kind, np.random.default_rng(1), 300_000))
    held = chosen = honest = 0
    for seed in range(SETS):
        sample = draw(kind, np.random.default_rng([2, seed]), size)
        held += all(truth.mean_above(t.confidence) >= t.bound for t in bound_thresholds(*sample))
        found = choose_threshold(*sample)
        chosen += found is not None
        honest += found is None or truth.mean_above(found.confidence) >= found.bound >= 0.7
    assert held >= HELD * SETS
    assert honest >= HELD * SETS
    if kind in ("none good enough", "barely not good enough"):
        assert chosen <= (1 - HELD) * SETS
    elif size == 260:
        assert chosen >= SETS / 2  # an honest bound that never reached the target would be of no use


def test_the_best_observed_mean_overestimates_the_true_mean() -> None:
    """Shows that the check above can fail: the highest observed mean of all thresholds exceeds the true one."""
    truth = Population(draw("right or wrong", np.random.default_rng(1), 300_000))
    held = 0
    for seed in range(SETS):
        sure, quality = draw("right or wrong", np.random.default_rng([2, seed]), 20)
        means = [(float(quality[sure >= c].mean()), c) for c in sure]
        best, confidence = max(means)
        held += truth.mean_above(confidence) >= best
    assert held < HELD * SETS


def test_a_threshold_is_accepted_although_no_simultaneous_bound_reaches_the_target() -> None:
    """Chains of tests have more power than simultaneous bounds: 99 objects as a model of cats has them."""
    rng = np.random.default_rng(4)
    sure = rng.random(99)
    quality = np.clip(0.62 + 0.22 * sure + rng.normal(0, 0.1, 99), 0, 1)
    found = choose_threshold(sure.tolist(), quality.tolist(), risk=risk_of_round(2))
    assert found is not None
    assert found.bound >= 0.7
    assert max(t.bound for t in bound_thresholds(sure.tolist(), quality.tolist(), risk=0.2 * risk_of_round(2))) < 0.7


def test_the_risks_of_all_rounds_sum_to_the_total_risk() -> None:
    risks = [risk_of_round(number) for number in range(1, 60)]
    assert sum(risks) == pytest.approx(RISK)
    assert risks[:7] == [RISK / 8] * 7


def test_twenty_excellent_objects_are_enough() -> None:
    threshold = choose_threshold(np.linspace(0.5, 0.99, 20).tolist(), [0.97] * 20)
    assert threshold is not None
    assert (threshold.confidence, threshold.objects) == (-math.inf, 20)
    assert 0.7 <= threshold.bound < 0.97
    assert choose_threshold([0.9] * 20, [0.8] * 20) is None


def test_no_threshold_is_chosen_for_bad_or_too_few_objects() -> None:
    assert choose_threshold([0.9] * 300, [0.69] * 300) is None
    assert choose_threshold([0.9] * 7, [1.0] * 7) is None
    assert choose_threshold([], []) is None


def test_objects_with_equal_confidence_are_on_one_side_of_a_threshold() -> None:
    """Of 300 objects with one confidence, all or none are above a threshold."""
    counts = {t.objects for t in bound_thresholds([0.5] * 150 + [0.9] * 150, [0.2] * 150 + [0.95] * 150)}
    assert counts == {300, 150}
    threshold = choose_threshold([0.5] * 150 + [0.9] * 150, [0.2] * 150 + [0.95] * 150)
    assert threshold is not None
    assert threshold.objects == 150
    assert 0.5 < threshold.confidence <= 0.9


def test_a_smaller_risk_has_a_lower_bound_and_more_objects_a_higher_one() -> None:
    values = np.random.default_rng(3).beta(8, 2, 400)
    assert lower_bound(values, risk=0.01) < lower_bound(values, risk=0.1) < values.mean()
    assert lower_bound(values[:40], risk=0.05) < lower_bound(values, risk=0.05)


@pytest.mark.parametrize(
    ("confidences", "qualities"), [([0.5], [0.5, 0.5]), ([math.nan] * 9, [0.5] * 9), ([0.5] * 9, [1.5] * 9)]
)
def test_values_out_of_range_are_refused(confidences: list[float], qualities: list[float]) -> None:
    with pytest.raises(ValueError, match=r"confidences"):
        choose_threshold(confidences, qualities)
