"""Scores of any predictions against reference masks, from folders or arrays."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from gtseg.aws.clients import Clients
from gtseg.aws.s3 import S3
from gtseg.core.classes import BACKGROUND
from gtseg.core.s3_uris import require_location
from gtseg.core.scores.evaluation import Tally, conclude
from gtseg.errors import SettingsError
from gtseg.library.progress import listen
from gtseg.library.results import Evaluation
from gtseg.pipeline.stages.evaluate import evaluate_folders, section_of
from gtseg.settings.hosting import Evaluate

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


Masks = str | Path | Iterable["NDArray[np.integer]"]


def evaluate(
    predictions: Masks,
    truth: Masks,
    *,
    labels: Sequence[str] = (),
    values: Sequence[int] = (),
    void: int | None = None,
) -> Evaluation:
    """Score predicted masks against reference masks.

    Both are folders (or s3:// prefixes) of index PNGs, paired by path or by name, or both are sequences of (H, W) class
    index arrays, paired by order. `labels` names the classes from 1 on; 0 is the background and 255 void. For folders,
    `values` and `void` change these values, like --label-values and --void. Raises SettingsError, StageError or
    MaskError naming the problem.
    """
    if isinstance(predictions, str | Path) != isinstance(truth, str | Path):
        raise SettingsError("predictions and truth must both be folders, or both be arrays")
    if isinstance(predictions, str | Path) and isinstance(truth, str | Path):
        found = evaluate_folders(
            require_location(str(predictions), "predictions"),
            require_location(str(truth), "truth"),
            labels=list(labels),
            values=values,
            void=void,
            options=Evaluate(),
            notify=listen(),
            s3=S3(Clients()),
        )
        return Evaluation.of(found.section)
    if values or void is not None:
        raise SettingsError("values and void are for folders: convert arrays to class indices first")
    return _evaluate_arrays(predictions, truth, labels)  # type: ignore[arg-type]


def _evaluate_arrays(
    predictions: Iterable[NDArray[np.integer]], truth: Iterable[NDArray[np.integer]], labels: Sequence[str]
) -> Evaluation:
    import numpy as np

    pairs = [(np.asarray(p), np.asarray(t)) for p, t in _pair(predictions, truth)]
    highest = max((int(a[a != 255].max(initial=0)) for pair in pairs for a in pair), default=0)
    names = (BACKGROUND, *(labels or (f"class-{n}" for n in range(1, highest + 1))))
    if highest >= len(names):
        raise SettingsError(
            f"the masks have the value {highest}, but {len(names) - 1} labels allow values up to {len(names) - 1}"
        )
    options = Evaluate()
    tally = Tally(len(names), options.boundary_tolerance)
    for number, (prediction, true) in enumerate(pairs):
        tally.add(f"mask {number}", true.astype(np.uint8), prediction.astype(np.uint8))
    result = conclude(tally, seed=options.seed, resamples=options.resamples)
    return Evaluation.of(section_of(result, names, split="given"))


def _pair(
    predictions: Iterable[NDArray[np.integer]], truth: Iterable[NDArray[np.integer]]
) -> list[tuple[NDArray[np.integer], NDArray[np.integer]]]:
    first, second = list(predictions), list(truth)
    if len(first) != len(second) or not first:
        raise SettingsError(
            f"{len(first)} predictions for {len(second)} reference masks: the numbers must be equal and at least one"
        )
    return list(zip(first, second, strict=True))
