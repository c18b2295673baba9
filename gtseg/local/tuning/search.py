"""Search strategies: ranges with SageMaker's scalings; random, grid and Bayesian search.

Every suggestion is a pure function of the seed, its number and the results so far, so that a restarted server suggests
the same. Bayesian search: a Gaussian process (squared exponential kernel, length scale and noise by marginal
likelihood) over the scaled ranges; the random candidate with the largest expected improvement is chosen; running trials
are imputed with their predicted mean (kriging believer). SageMaker's own method is unpublished; see DG "Understand the
hyperparameter tuning strategies".
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

CANDIDATES = 1000
FIRST = 3
"""Random trials before the first model-based one."""
SCALES = (0.1, 0.2, 0.4, 0.8, 1.6)
NOISES = (1e-4, 1e-2, 1e-1)


@dataclass(frozen=True)
class Parameter:
    """A tuned hyperparameter: `values` if categorical, else the range `low` to `high`, both included."""

    name: str
    kind: str
    """integer, continuous or categorical."""
    low: float = 0.0
    high: float = 0.0
    scaling: str = "Linear"
    values: tuple[str, ...] = ()

    @property
    def width(self) -> int:
        """Number of coordinates in the unit cube."""
        return len(self.values) if self.values else 1

    def decode(self, place: float) -> str:
        """Return the value at `place` in [0, 1), as the text passed to the container."""
        if self.values:
            return self.values[min(int(place * len(self.values)), len(self.values) - 1)]
        low, high = self.low, self.high
        if self.kind == "integer" and self.scaling == "Linear":
            return str(min(int(low) + int(place * (high - low + 1)), int(high)))
        if self.scaling == "Logarithmic":
            value = math.exp(math.log(low) + place * (math.log(high) - math.log(low)))
        elif self.scaling == "ReverseLogarithmic":
            value = 1 - math.exp(math.log1p(-low) + place * (math.log1p(-high) - math.log1p(-low)))
        else:
            value = low + place * (high - low)
        value = min(max(value, low), high)
        return str(round(value)) if self.kind == "integer" else repr(value)

    def encode(self, text: str) -> list[float]:
        """Return the coordinates of a value: one in [0, 1], or one-hot for a categorical parameter."""
        if self.values:
            return [math.sqrt(0.5) * (text == value) for value in self.values]
        value, low, high = float(text), self.low, self.high
        if high == low:
            return [0.5]
        if self.scaling == "Logarithmic":
            return [math.log(value / low) / math.log(high / low)]
        if self.scaling == "ReverseLogarithmic":
            return [(math.log1p(-value) - math.log1p(-low)) / (math.log1p(-high) - math.log1p(-low))]
        return [(value - low) / (high - low)]


@dataclass(frozen=True)
class Trial:
    """A trial's values and its score: larger is better; None while it runs."""

    values: Mapping[str, str]
    score: float | None


def read_ranges(ranges: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[Parameter]:
    """Parse ParameterRanges. Raises ValueError naming the invalid parameter."""
    parameters = []
    for member, kind in (("IntegerParameterRanges", "integer"), ("ContinuousParameterRanges", "continuous")):
        parameters += [_read_number(given, kind) for given in ranges.get(member, [])]
    for given in ranges.get("CategoricalParameterRanges", []):
        parameters.append(Parameter(given["Name"], "categorical", values=tuple(given["Values"])))
    return parameters


def _read_number(given: Mapping[str, Any], kind: str) -> Parameter:
    name, scaling = given["Name"], given.get("ScalingType", "Auto")
    try:
        low, high = (float(given[member]) for member in ("MinValue", "MaxValue"))
    except ValueError:
        raise ValueError(f"{name}: MinValue and MaxValue must be numbers.") from None
    if kind == "integer" and not (low.is_integer() and high.is_integer()):
        raise ValueError(f"{name}: MinValue and MaxValue must be integers.")
    if not (math.isfinite(low) and math.isfinite(high) and low <= high):
        raise ValueError(f"{name}: MinValue {given['MinValue']} is greater than MaxValue {given['MaxValue']}.")
    return Parameter(name, kind, low, high, _choose_scaling(name, kind, scaling, low=low, high=high))


def _choose_scaling(name: str, kind: str, scaling: str, *, low: float, high: float) -> str:
    """Return the scaling of a range, with `Auto` resolved. Raises ValueError for one that the range does not allow."""
    if scaling == "Auto":
        return "Logarithmic" if low > 0 and high / low >= 10 else "Linear"
    if scaling == "Logarithmic" and low <= 0:
        raise ValueError(f"{name}: Logarithmic scaling requires a MinValue greater than 0.")
    if scaling == "ReverseLogarithmic" and not (low >= 0 and high < 1 and kind == "continuous"):
        raise ValueError(f"{name}: ReverseLogarithmic scaling requires a continuous range within 0 <= x < 1.")
    return scaling


def count_grid(parameters: Sequence[Parameter]) -> int:
    """Return the number of combinations of categorical parameters."""
    return math.prod(len(parameter.values) for parameter in parameters)


def suggest(strategy: str, parameters: Sequence[Parameter], trials: Sequence[Trial], *, seed: int) -> dict[str, str]:
    """Return the values for trial number `len(trials)`."""
    random = np.random.default_rng([seed, len(trials)])
    if strategy == "Grid":
        choice = next(itertools.islice(itertools.product(*(p.values for p in parameters)), len(trials), None))
        return {parameter.name: value for parameter, value in zip(parameters, choice, strict=True)}
    if strategy == "Bayesian":
        return _suggest_best(parameters, trials, random)
    return _draw(parameters, random)


def _draw(parameters: Sequence[Parameter], random: np.random.Generator) -> dict[str, str]:
    return {parameter.name: parameter.decode(random.random()) for parameter in parameters}


def _encode(parameters: Sequence[Parameter], values: Mapping[str, str]) -> list[float]:
    return [place for parameter in parameters for place in parameter.encode(values[parameter.name])]


def _suggest_best(
    parameters: Sequence[Parameter], trials: Sequence[Trial], random: np.random.Generator
) -> dict[str, str]:
    """Return the random candidate with the largest expected improvement."""
    scored = [trial for trial in trials if trial.score is not None]
    if len(scored) < FIRST:
        return _draw(parameters, random)
    known = np.array([_encode(parameters, trial.values) for trial in scored])  # (n, d) in [0, 1]
    scores = np.array([trial.score for trial in scored], dtype=float)  # (n,)
    scores = (scores - scores.mean()) / (scores.std() or 1.0)
    scale, noise = max(itertools.product(SCALES, NOISES), key=lambda pair: _measure_likelihood(known, scores, *pair))
    for trial in trials:  # impute running trials with their predicted mean
        if trial.score is None:
            place = np.array([_encode(parameters, trial.values)])
            mean, _ = _predict(known, scores, place, scale=scale, noise=noise)
            known, scores = np.vstack([known, place]), np.append(scores, mean)
    drawn = [_draw(parameters, random) for _ in range(CANDIDATES)]
    places = np.array([_encode(parameters, values) for values in drawn])
    mean, deviation = _predict(known, scores, places, scale=scale, noise=noise)
    return drawn[int(np.argmax(_measure_improvement(mean, deviation, scores.max())))]


def _correlate(a: np.ndarray, b: np.ndarray, scale: float) -> np.ndarray:
    """Return the squared exponential kernel (n, m) between (n, d) and (m, d) points."""
    distances = ((a[:, None, :] - b[None, :, :]) ** 2).sum(-1)
    return np.asarray(np.exp(-0.5 * distances / scale**2))


def _measure_likelihood(known: np.ndarray, scores: np.ndarray, scale: float, noise: float) -> float:
    factor = np.linalg.cholesky(_correlate(known, known, scale) + (noise + 1e-8) * np.eye(len(known)))
    solved = np.linalg.solve(factor, scores)
    return float(-0.5 * solved @ solved - np.log(np.diag(factor)).sum())


def _predict(
    known: np.ndarray, scores: np.ndarray, places: np.ndarray, *, scale: float, noise: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and standard deviation (m,) of the process at (m, d) points."""
    factor = np.linalg.cholesky(_correlate(known, known, scale) + (noise + 1e-8) * np.eye(len(known)))
    across = np.linalg.solve(factor, _correlate(known, places, scale))  # (n, m)
    mean = across.T @ np.linalg.solve(factor, scores)
    return mean, np.sqrt(np.maximum(1.0 - (across**2).sum(0), 1e-12))


def _measure_improvement(mean: np.ndarray, deviation: np.ndarray, best: float) -> np.ndarray:
    """Return the expected improvement over `best`."""
    gain = (mean - best) / deviation
    density = np.exp(-0.5 * gain**2) / math.sqrt(2 * math.pi)
    below = np.array([0.5 * math.erfc(-value / math.sqrt(2)) for value in gain])
    return np.asarray(deviation * (gain * below + density))
