"""A user's masks: which image each belongs to, and what its values are called."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from gtseg.core.hosting.endpoint_images import read_mask
from gtseg.core.scores.metrics import VOID
from gtseg.errors import MaskError, SettingsError, StageError
from gtseg.pipeline.run.places import Entry, Place


@dataclass(frozen=True)
class Masks:
    """`pairs`: image name -> mask name; `labels` of the values from 1."""

    pairs: dict[str, str]
    labels: tuple[str, ...]
    remarks: tuple[str, ...] = ()


def read_masks(folder: Path, images: Sequence[str], labels: Sequence[str]) -> Masks:
    """Pairs by relative path without ending, else by stem. Names: `labels`, else dataset.json (key `classes`) in the folder or
    beside it, else class-1, class-2, ...

    Raises StageError where nothing pairs, MaskError naming a file that is no index PNG, SettingsError for too few names.
    """
    place = Place(str(folder))
    pairs = _pair(images, place.entries((".png",)))
    if not pairs:
        example = f", like {images[0]}" if images else ""
        raise StageError(
            f"No image has a mask in {folder}: a mask is a PNG with the image's name. {len(images)} images were looked for{example}."
        )
    highest = max(_highest(place, name) for name in pairs.values())
    if highest == 0:
        raise StageError(
            f"The masks of {folder} hold only background (0) and void (255): there is nothing to learn"
        )
    if labels:
        return Masks(pairs, _fit(labels, highest, source="--labels"))
    names, source = _described(folder)
    if not names:
        return Masks(pairs, tuple(f"class-{number}" for number in range(1, highest + 1)))
    return Masks(pairs, *_from_description(names, highest, source=source))


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


def _highest(place: Place, name: str) -> int:
    """The highest class index of a mask. MaskError, with a hint at colours, where it is no index PNG."""
    try:
        values = read_mask(place.read(name))
    except MaskError as error:
        raise MaskError(
            f"{place.root}/{name}: {error}. Masks are PNGs of one channel whose values are class indices (0 background, 255 void); "
            "`gtseg import` reads coloured ones."
        ) from None
    return int(values[values != VOID].max(initial=0))


def _fit(names: Sequence[str], highest: int, *, source: str) -> tuple[str, ...]:
    """Names from 1; a leading background is dropped."""
    named = tuple(names[1:] if names and names[0].lower() == "background" else names)
    if len(named) < highest:
        raise SettingsError(
            f"{source} names {len(named)} classes, but the masks hold the value {highest}: name all {highest}"
        )
    if len(set(named)) < len(named):
        raise SettingsError(f"{source} names a class twice: {', '.join(named)}")
    return named


def _described(folder: Path) -> tuple[list[str], str]:
    for path in (folder / "dataset.json", folder.parent / "dataset.json"):
        if path.is_file():
            try:
                classes = json.loads(path.read_text(encoding="utf-8"))["classes"]
            except (OSError, ValueError, KeyError, TypeError):
                continue
            names = (
                [c.get("name") if isinstance(c, dict) else c for c in classes]
                if isinstance(classes, list)
                else []
            )
            if names and all(isinstance(name, str) and name for name in names):
                return [str(name) for name in names], str(path)
    return [], ""


def _from_description(
    names: Sequence[str], highest: int, *, source: str
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """(labels, remarks). Where the list has as many names as the masks have values and no background, value 0 is its first."""
    if names[0].lower() != "background" and len(names) == highest + 1:
        remark = f"{source} names value 0 {names[0]!r}: it becomes the background here, which Ground Truth does not name"
        return _fit(names[1:], highest, source=source), (remark,)
    return _fit(names, highest, source=source), ()
