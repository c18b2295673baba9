"""Scores of any folder of predictions against any folder of masks, without endpoint or run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gtseg.aws.s3 import S3, is_s3_uri
from gtseg.core.account import Account, Flow, Loss
from gtseg.core.hosting.endpoint_images import read_mask
from gtseg.core.masks.class_values import Numbering, is_binary, number_masks, spell_values
from gtseg.core.scores.caveats import score_warnings
from gtseg.core.scores.evaluation import Tally, conclude
from gtseg.errors import MaskError, SettingsError, StageError
from gtseg.pipeline.run import EvaluationSection
from gtseg.pipeline.run.events import Event, Notify
from gtseg.pipeline.run.locations import Entry, Place
from gtseg.pipeline.stages.evaluate.sections import section_of, sentence
from gtseg.settings.hosting import Evaluate


@dataclass(frozen=True)
class FolderEvaluation:
    """Scores, masks without a prediction, and the account of inputs and outputs."""

    section: EvaluationSection
    missing: tuple[str, ...]
    account: Account


def evaluate_folders(
    predictions: str,
    masks: str,
    *,
    labels: Sequence[str],
    options: Evaluate,
    notify: Notify,
    s3: S3 | None = None,
    values: Sequence[int] = (),
    void: int | None = None,
) -> FolderEvaluation:
    """Score index PNGs of `predictions` against those of `masks`, paired by relative path, else by stem.

    `labels`, their `values` and `void` give the meaning of the pixels by the rule of gtseg.core.masks.class_values.
    Warnings before the score tell what makes it less meaningful. Raises StageError if nothing pairs, SettingsError if
    the labels do not fit the masks, MaskError naming an invalid file.
    """
    truths, found = Place(masks, s3), Place(predictions, s3)
    if _is_one(predictions, masks):
        words = f"predictions and masks are the same folder, {masks}: this score says nothing about a model"
        notify(Event("evaluate", "warning", words))
    every = truths.entries((".png",)), found.entries((".png",))
    pairs, missing = _pair(*every)
    if not pairs:
        raise StageError(
            f"No mask of {masks} has a prediction in {predictions}: files pair by path, else by name without extension"
        )
    account = _account(every, pairs, missing)
    for loss in account.losses:
        notify(Event("evaluate", "note" if loss.kind == "note" else "warning", loss.text))
    sides = _values(truths, [truth for truth, _ in pairs]), _values(found, [found for _, found in pairs])
    meaning = _agree(sides, labels, values=values, void=void)
    for note in dict.fromkeys((*meaning.truth.notes, *meaning.prediction.notes)):
        notify(Event("evaluate", "warning", note))
    tally = Tally(len(meaning.names), options.boundary_tolerance)
    for number, (truth, prediction) in enumerate(pairs, 1):
        right, answer = _read(truths, truth), _read(found, prediction)
        tally.add(truth.name, meaning.truth.apply(right), meaning.prediction.apply(answer))
        notify(Event("evaluate", "progress", "scoring", done=number, total=len(pairs)))
    result = conclude(tally, seed=options.seed, resamples=options.resamples)
    for warning in score_warnings(result, meaning.names):
        notify(Event("evaluate", "warning", warning))
    section = section_of(result, meaning.names, split="given", predictions=predictions)
    notify(Event("evaluate", "finished", sentence(section)))
    return FolderEvaluation(section, tuple(missing), account)


def _is_one(predictions: str, masks: str) -> bool:
    """Return whether two locations are the same folder or S3 prefix."""
    if is_s3_uri(predictions) or is_s3_uri(masks):
        return predictions.rstrip("/") == masks.rstrip("/")
    return Path(predictions).resolve() == Path(masks).resolve()


def _account(
    every: tuple[Sequence[Entry], Sequence[Entry]],
    pairs: Sequence[tuple[Entry, Entry]],
    missing: Sequence[str],
) -> Account:
    """Count masks and predictions; a prediction without a mask may be intended."""
    used = {prediction.name for _, prediction in pairs}
    unused = [entry.name for entry in every[1] if entry.name not in used]
    losses = (
        [Loss("mask", "no prediction with its path or name, not scored", missing[0], len(missing))] if missing else []
    )
    if unused:
        losses.append(Loss("prediction", "no mask with its path or name, not scored", unused[0], len(unused), "note"))
    flows = Flow("mask", len(every[0]), len(pairs)), Flow("prediction", len(every[1]), len(used))
    return Account(flows, losses=tuple(losses))


@dataclass(frozen=True)
class _Meaning:
    """Class names by index, and the meaning of the values of either side."""

    names: tuple[str, ...]
    truth: Numbering
    prediction: Numbering


def _agree(
    sides: tuple[frozenset[int], frozenset[int]],
    labels: Sequence[str],
    *,
    values: Sequence[int],
    void: int | None,
) -> _Meaning:
    """Return one table of classes for both sides.

    A side with only 0 and 255 is read as background and one class, independently of the other side.
    """
    sides_named = "the masks", "the predictions"
    binary = [not values and is_binary(side, void=void) for side in sides]
    plain = [frozenset({0, 1}) if alone else side for side, alone in zip(sides, binary, strict=True)]
    own = [
        number_masks(side, labels, void=void, what=what) if alone else None
        for side, alone, what in zip(sides, binary, sides_named, strict=True)
    ]
    table = number_masks(plain[0] | plain[1], labels, values=values, void=void, what="masks and predictions")
    if any(binary) and len(table.names) > 2:
        one, other = (0, 1) if binary[0] else (1, 0)
        raise SettingsError(
            f"{sides_named[one]} have only 0 and 255, {sides_named[other]} have values up to {len(table.names) - 1}: "
            "their numbering differs. If 255 is void, use --void 255"
        )
    return _Meaning(table.names, own[0] or table, own[1] or table)


def _both(sides: tuple[frozenset[int], frozenset[int]]) -> str:
    """Name the two sides for a message, with the values of each if they differ."""
    if sides[0] == sides[1]:
        return "masks and predictions"
    truth, prediction = (spell_values(side) for side in sides)
    return f"masks (values {truth}) and predictions (values {prediction})"


def _values(place: Place, entries: Sequence[Entry]) -> frozenset[int]:
    """Return all values of a set of masks."""
    seen = np.zeros(256, np.bool_)
    for entry in entries:
        seen |= np.bincount(_read(place, entry).reshape(-1), minlength=256) > 0
    return frozenset(np.flatnonzero(seen).tolist())


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
