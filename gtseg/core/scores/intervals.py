"""95 % intervals by bootstrap over images: the sampling of test images is the main uncertainty of a score."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from gtseg.core.scores.metrics import Counts

Interval = tuple[float, float]
RESAMPLES = 2000
SHARE = 0.95
MIN_IMAGES = 10
"""Minimum number of images for the bootstrap.

Percentile intervals of fewer images are far too narrow (Efron and Tibshirani, "An Introduction to the Bootstrap",
chapter 14), and a point for identical ones.
"""


def bootstrap(
    images: Counts,
    scores: Mapping[str, Callable[[Counts], NDArray[np.float64]]],
    *,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> dict[str, NDArray[np.float64]]:
    """Return percentile intervals of scores of the pooled data set, each (2,) or (2, K): lower, upper.

    `images` holds (I, K) counts. Whole images are drawn with replacement. NaN if no resample defines the score, or with
    fewer than MIN_IMAGES images.
    """
    draws = _draws(len(images.right), seed=seed, resamples=resamples)
    pooled = Counts(draws @ images.right, draws @ images.truth, draws @ images.predicted)
    return {name: _percentiles(score(pooled), known=len(images.right) >= MIN_IMAGES) for name, score in scores.items()}


def bootstrap_mean(values: NDArray[np.float64], *, seed: int = 0, resamples: int = RESAMPLES) -> NDArray[np.float64]:
    """Return the (2,) or (2, K) interval of the mean over images of (I,) or (I, K) values, ignoring NaN."""
    draws = _draws(len(values), seed=seed, resamples=resamples)
    known = ~np.isnan(values)
    weights = draws @ known.astype(float)
    sums = draws @ np.where(known, values, 0)
    means = np.divide(sums, weights, out=np.full(sums.shape, np.nan), where=weights > 0)
    return _percentiles(means, known=len(values) >= MIN_IMAGES)


def _draws(images: int, *, seed: int, resamples: int) -> NDArray[np.float64]:
    """Return (B, I) the multiplicity of each image in each resample."""
    if not images:
        return np.zeros((resamples, 0))
    rng = np.random.default_rng(seed)
    return rng.multinomial(images, np.full(images, 1 / images), size=resamples).astype(float)


def _percentiles(values: NDArray[np.float64], *, known: bool) -> NDArray[np.float64]:
    """Return percentiles of (B, ...) as (2, ...)."""
    result = np.full((2, *values.shape[1:]), np.nan)
    seen = ~np.isnan(values).all(0)
    if known and np.any(seen):
        tail = 100 * (1 - SHARE) / 2
        columns = values[:, seen] if values.ndim > 1 else values
        edges = np.nanpercentile(columns, [tail, 100 - tail], axis=0)
        result[..., seen] = edges if values.ndim > 1 else edges.reshape(2, -1)
    return result


def share_interval(hits: int, total: int) -> tuple[float, float, float]:
    """Return (share, lower, upper): exact 95 % interval of a share from a random sample (Clopper and Pearson, 1934)."""
    tail = (1 - SHARE) / 2
    lower = 0.0 if hits == 0 else _solve(lambda p: 1 - _at_most(hits - 1, total, p) - tail)
    upper = 1.0 if hits == total else _solve(lambda p: tail - _at_most(hits, total, p))
    return hits / total, lower, upper


def _at_most(hits: int, total: int, share: float) -> float:
    """Return the probability of at most `hits` in a sample of `total`."""
    if not 0 < share < 1:
        return 1.0 if share <= 0 else float(hits >= total)
    logs = (math.lgamma(total + 1) - math.lgamma(k + 1) - math.lgamma(total - k + 1) for k in range(hits + 1))
    return math.fsum(
        math.exp(log + k * math.log(share) + (total - k) * math.log1p(-share)) for k, log in enumerate(logs)
    )


def _solve(rising: Callable[[float], float]) -> float:
    """Return the zero of an increasing function on 0 to 1."""
    low, high = 0.0, 1.0
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (middle, high) if rising(middle) < 0 else (low, middle)
    return (low + high) / 2
