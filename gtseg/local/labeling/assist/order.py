"""Order of labeling: objects of which the model is uncertain and that are unlike the labeled ones come first."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

RANDOM_SHARE = 5
"""Every fifth object is a random one, so that the model also sees objects of which it is wrongly confident."""


def order_objects(
    confidences: np.ndarray, features: np.ndarray, labeled: np.ndarray, *, count: int, seed: int
) -> list[int]:
    """Return the positions of `count` of n objects, most informative first.

    `confidences` (n,) are higher for more confident; `features` are (n, d), `labeled` (m, d) those of labeled objects.
    The next object has the largest product of its rank by uncertainty and its distance to the nearest labeled or
    earlier chosen object. Every RANDOM_SHARE-th is drawn at random with `seed`.
    """
    n = len(confidences)
    rng = np.random.default_rng(seed)
    if not n:
        return []
    scale = features.std(0) + 1e-6
    points, known = features / scale, labeled / scale
    uncertainty = np.empty(n)
    uncertainty[np.argsort(-confidences, kind="stable")] = np.linspace(0, 1, n)
    distance = nearest(points, known) if len(known) else np.ones(n)
    left, chosen = np.ones(n, bool), []
    for place in range(min(count, n)):
        if place % RANDOM_SHARE == RANDOM_SHARE - 1:
            position = int(rng.choice(np.flatnonzero(left)))
        else:
            position = int(np.argmax(np.where(left, (0.1 + uncertainty) * distance, -1)))
        chosen.append(position)
        left[position] = False
        distance = np.minimum(distance, np.linalg.norm(points - points[position], axis=1))
    return chosen


def nearest(points: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Return the (n,) distances of (n, d) points to the nearest of (m, d) points."""
    best = np.full(len(points), np.inf)
    for point in known:
        best = np.minimum(best, np.linalg.norm(points - point, axis=1))
    return best


def as_matrix(rows: Sequence[Sequence[float]]) -> np.ndarray:
    """Return (n, d) float64; (0, 1) if there are no rows."""
    return np.array(rows, float) if len(rows) else np.zeros((0, 1))
