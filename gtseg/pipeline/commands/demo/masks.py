"""A user's masks: their images, and the names of their values."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gtseg.core.classes import BACKGROUND, VOID
from gtseg.core.hosting.endpoint_images import read_mask
from gtseg.core.masks.class_values import Numbering, number_masks
from gtseg.core.masks.names import is_background
from gtseg.core.scores.metrics import Mask
from gtseg.errors import MaskError, StageError
from gtseg.pipeline.run.locations import Entry, Place


@dataclass(frozen=True)
class Masks:
    """Masks of a folder and the images that they belong to.

    `pairs`: image name -> mask name. `labels`: names of the values from 1. `numbering`: meaning of the masks' values.
    """

    pairs: dict[str, str]
    labels: tuple[str, ...]
    numbering: Numbering
    has_void: bool = False
    remarks: tuple[str, ...] = ()


def read_masks(
    folder: Path,
    images: Sequence[str],
    labels: Sequence[str],
    *,
    values: Sequence[int] = (),
    void: int | None = None,
) -> Masks:
    """Pair masks with images by relative path without extension, else by stem, and name their classes.

    Names: `labels`, else dataset.json (key `classes`) in the folder or beside it, else class-1, class-2, ...; the
    meaning of values follows gtseg.core.masks.class_values.
    Raises StageError if nothing pairs, MaskError naming a file that is not an index PNG, SettingsError if names and
    values do not fit.
    """
    place = Place(str(folder))
    pairs = _pair(images, place.entries((".png",)))
    if not pairs:
        example = f", like {images[0]}" if images else ""
        raise StageError(
            f"No image has a mask in {folder}: a mask is a PNG with the image's name. Images searched: "
            f"{len(images)}{example}."
        )
    found = frozenset().union(*(_values(place, name) for name in pairs.values()))
    names, source = list(labels), "--labels"
    remarks: list[str] = []
    if not names:
        names, source = _described(folder)
        names, remarks = _from_description(names, found, source=source)
    numbering = number_masks(found, names, values=values, void=void, source=source, what=f"the masks of {folder}")
    indices = set(numbering.codes.values())
    if not indices - {0, VOID}:
        remarks.append(f"the masks of {folder} have only background{' and void' if VOID in indices else ''}")
    remarks += numbering.notes
    return Masks(pairs, numbering.names[1:], numbering, VOID in indices, tuple(remarks))


def _pair(images: Sequence[str], masks: Sequence[Entry]) -> dict[str, str]:
    by_path = {entry.stem: entry.name for entry in masks}
    by_stem: dict[str, list[str]] = {}
    for entry in masks:
        by_stem.setdefault(entry.stem.rsplit("/", 1)[-1], []).append(entry.name)
    pairs = {}
    for image in images:
        stem = image.rsplit(".", 1)[0]
        alike = by_stem.get(stem.rsplit("/", 1)[-1], [])
        if mask := by_path.get(stem) or (alike[0] if len(alike) == 1 else None):
            pairs[image] = mask
    return pairs


def _values(place: Place, name: str) -> frozenset[int]:
    """Return all values of a mask."""
    values = read_index_mask(place, name)
    return frozenset(np.flatnonzero(np.bincount(values.reshape(-1), minlength=256)).tolist())


def read_index_mask(place: Place, name: str) -> Mask:
    """Return the (H, W) uint8 values. Raises MaskError, with a hint for color masks, if it is not an index PNG."""
    try:
        return read_mask(place.read(name))
    except MaskError as error:
        raise MaskError(
            f"{place.root}/{name}: {error}. Masks must be PNGs of one channel with class indices (0 background, 255 "
            "void); `gtseg import` reads colored ones."
        ) from None


def _described(folder: Path) -> tuple[list[str], str]:
    for path in (folder / "dataset.json", folder.parent / "dataset.json"):
        if path.is_file():
            try:
                classes = json.loads(path.read_text(encoding="utf-8"))["classes"]
            except (OSError, ValueError, KeyError, TypeError):
                continue
            names = [c.get("name") if isinstance(c, dict) else c for c in classes] if isinstance(classes, list) else []
            if names and all(isinstance(name, str) and name for name in names):
                return [str(name) for name in names], str(path)
    return [], ""


def _from_description(names: Sequence[str], found: frozenset[int], *, source: str) -> tuple[list[str], list[str]]:
    """Return (labels, remarks). A dataset's list with as many names as values and without background counts from 0."""
    highest = max(found - {VOID}, default=0)
    if names and not is_background(names[0]) and len(names) == highest + 1:
        remark = (
            f"{source} names value 0 {names[0]!r}: it becomes the background here, which Ground Truth does not list"
        )
        return [BACKGROUND, *names[1:]], [remark]
    return list(names), []
