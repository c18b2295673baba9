"""Any folder of predictions against any folder of masks: no endpoint, no run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gtseg.aws.clients import Clients
from gtseg.core.hosting.endpoint_images import read_mask
from gtseg.core.scores.evaluation import Tally, conclude
from gtseg.core.scores.metrics import VOID
from gtseg.errors import MaskError, SettingsError, StageError
from gtseg.pipeline.run import EvaluationSection
from gtseg.pipeline.run.events import Event, Notify
from gtseg.pipeline.run.places import Entry, Place
from gtseg.pipeline.stages.evaluate.sections import section_of, sentence
from gtseg.settings.hosting import Evaluate


@dataclass(frozen=True)
class FolderEvaluation:
    """The scores, and the masks that have no prediction."""

    section: EvaluationSection
    missing: tuple[str, ...]


def evaluate_folders(
    predictions: str,
    masks: str,
    *,
    labels: Sequence[str],
    options: Evaluate,
    notify: Notify,
    clients: Clients | None = None,
) -> FolderEvaluation:
    """Index PNGs of `predictions` against those of `masks`, paired by relative path, else by stem.

    `labels` names the classes from 1 (or from 0, if the first is the background); empty: as many as the values ask for.
    Raises StageError where nothing pairs, MaskError naming the file that is no mask.
    """
    truths, found = Place(masks, clients), Place(predictions, clients)
    pairs, missing = _pair(truths.entries((".png",)), found.entries((".png",)))
    if not pairs:
        raise StageError(
            f"No mask of {masks} has a prediction in {predictions}: files pair by path, else by name without ending"
        )
    for name in missing:
        notify(Event("evaluate", "warning", f"{name} has no prediction and is not scored"))
    names = class_names(labels) or _count_classes(pairs, truths, found)
    tally = Tally(len(names), options.boundary_tolerance)
    for number, (truth, prediction) in enumerate(pairs, 1):
        tally.add(truth.name, _read(truths, truth), _read(found, prediction))
        notify(Event("evaluate", "progress", "scoring", done=number, total=len(pairs)))
    result = conclude(tally, seed=options.seed, resamples=options.resamples)
    section = section_of(result, names, split="given", predictions=predictions)
    notify(Event("evaluate", "finished", sentence(section)))
    return FolderEvaluation(section, tuple(missing))


def class_names(labels: Sequence[str]) -> tuple[str, ...]:
    """Labels with the background before them; as they are where they bring it."""
    if not labels or labels[0].upper() == "BACKGROUND":
        return tuple(labels)
    if len(labels) > 254:
        raise SettingsError(f"--labels: at most 254, there are {len(labels)}")
    return ("BACKGROUND", *labels)


def _count_classes(pairs: Sequence[tuple[Entry, Entry]], truths: Place, found: Place) -> tuple[str, ...]:
    """Names by number, up to the highest value in any file that is not void."""
    highest = 1
    for truth, prediction in pairs:
        for values in (_read(truths, truth), _read(found, prediction)):
            highest = max(highest, int(values[values != VOID].max(initial=0)))
    return ("BACKGROUND", *(f"class-{number}" for number in range(1, highest + 1)))


def _pair(truths: Sequence[Entry], found: Sequence[Entry]) -> tuple[list[tuple[Entry, Entry]], list[str]]:
    by_path = {entry.name: entry for entry in found}
    by_stem: dict[str, list[Entry]] = {}
    for entry in found:
        by_stem.setdefault(entry.stem.rsplit("/", 1)[-1], []).append(entry)
    pairs, missing = [], []
    for truth in truths:
        same = by_stem.get(truth.stem.rsplit("/", 1)[-1], [])
        match = by_path.get(truth.name) or (same[0] if len(same) == 1 else None)
        if match:
            pairs.append((truth, match))
        else:
            missing.append(truth.name)
    return pairs, missing


def _read(place: Place, entry: Entry) -> np.ndarray:
    try:
        return read_mask(place.read(entry.name))
    except MaskError as error:
        raise MaskError(f"{entry.address}: {error}") from None
