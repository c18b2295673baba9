"""Reader of COCO annotations (polygons and RLE).

Source: COCO data format (cocodataset.org/#format-data).
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from gtseg.core.account import Loss, merge_losses
from gtseg.core.classes import VOID
from gtseg.core.labeling.class_names import arrange_names
from gtseg.errors import ManifestError, MaskError

from .annotations import AnnotatedImage, AnnotationSet, Ring, Shape, parse_ring
from .files import read_text
from .regions import ring_area
from .rle import Runs, runs_of

MAX_AREA = 10**18
"""Maximum plausible `area` in square pixels; larger values are ignored."""
Crowds = Literal["auto", "class", "void"]


def read_coco(path: Path) -> dict[str, Any]:
    """Read a COCO document. Raises ManifestError unless images, annotations and categories are lists of objects."""
    try:
        document = json.loads(read_text(path, "COCO JSON"))
    except (ValueError, RecursionError) as error:
        raise ManifestError(f"{path}: not a readable COCO file: {error}") from error
    keys = ("images", "annotations", "categories")
    if not isinstance(document, dict) or any(key not in document for key in keys):
        missing = [key for key in keys if not isinstance(document, dict) or key not in document]
        raise ManifestError(f"{path}: not a COCO file: {', '.join(missing)} missing")
    for key in keys:
        entries = document[key]
        if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
            raise ManifestError(f"{path}: {key} must be a list of objects")
    return document


def id_text(value: Any) -> str:
    """Return an ID as text; 7, 7.0 and "7" are equal."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value).strip()


def parse_coco(
    document: Mapping[str, Any], source: str, *, crowds: Crowds = "auto", merge: bool | None = None
) -> AnnotationSet:
    """Return the images, classes and shapes of a COCO document. Smaller annotations cover larger ones.

    `crowds` (iscrowd 1): "auto" makes them void if the category has other annotations that are not crowds, else they
    have their class. Raises ManifestError for invalid categories.
    """
    categories, losses = _categories(document, source)
    names = arrange_names(list(categories.values()), merge=merge)
    index_of = {key: names.index[name] for key, name in categories.items()}
    reader = _AnnotationReader(index_of, crowds, _categories_with_objects(document))
    images: dict[str, list[Mapping[str, Any]]] = {}
    for position, entry in enumerate(document["images"], 1):
        if not isinstance(entry.get("file_name"), str) or not entry["file_name"].strip() or "id" not in entry:
            losses.append(Loss("image", f"no id or no file_name in {source}", f"entry {position}"))
        else:
            images.setdefault(id_text(entry["id"]), []).append(entry)
    shapes: dict[str, list[tuple[float, Shape]]] = {}
    unreadable: set[str] = set()
    for position, annotation in enumerate(document["annotations"], 1):
        key = id_text(annotation.get("image_id"))
        name = f"annotation {annotation.get('id', f'number {position}')}"
        if len(images.get(key, ())) != 1:
            reason = "image_id of no image" if key not in images else "image_id of several images"
            losses.append(Loss("annotation", reason, f"{name} (image_id {annotation.get('image_id')!r})"))
            continue
        try:
            shapes.setdefault(key, []).append(reader.read(annotation, name, images[key][0], losses))
        except MaskError as error:
            unreadable.add(key)
            losses.append(Loss("annotation", str(error), f"{name} on {images[key][0]['file_name']}"))
    annotated = [
        AnnotatedImage(
            entry["file_name"],
            _ordered(shapes.get(key, ())),
            _size_of(entry),
            problem=UNREADABLE if key in unreadable and not shapes.get(key) else "",
        )
        for key, entries in images.items()
        for entry in entries
    ]
    return AnnotationSet(
        "coco", source, names.classes, tuple(annotated), len(document["annotations"]), merge_losses(losses)
    )


UNREADABLE = "none of its annotations can be read; not imported as background"


def _ordered(shapes: Iterable[tuple[float, Shape]]) -> tuple[Shape, ...]:
    """Return the shapes in drawing order: void, then by decreasing area."""
    return tuple(shape for _, shape in sorted(shapes, key=lambda item: (item[1].index != VOID, -item[0])))


def _size_of(entry: Mapping[str, Any]) -> tuple[int, int] | None:
    try:
        height, width = int(entry["height"]), int(entry["width"])
    except (KeyError, TypeError, ValueError, OverflowError):
        return None
    return (height, width) if height > 0 and width > 0 else None


def _categories(document: Mapping[str, Any], source: str) -> tuple[dict[str, str], list[Loss]]:
    """Return category names by ID, in the order of the IDs; omit and report parent categories without annotations."""
    entries = document["categories"]
    for entry in entries:
        if "id" not in entry or not isinstance(entry.get("name"), str):
            raise ManifestError(f"{source}: a category has no id or no name: {entry!r}"[:200])
    used = Counter(id_text(annotation.get("category_id")) for annotation in document["annotations"])
    parents = {str(entry.get("supercategory")) for entry in entries}
    ids = Counter(id_text(entry["id"]) for entry in entries)
    if repeated := [key for key, count in ids.items() if count > 1]:
        raise ManifestError(f"{source}: several categories have the id {repeated[0]}")
    categories, losses = {}, []
    for entry in sorted(entries, key=lambda entry: _id_order(id_text(entry["id"]))):
        key = id_text(entry["id"])
        if entry["name"] in parents and not used[key] and len(entries) > 1:
            reason = "supercategory without annotations, not imported as a class"
            losses.append(Loss("category", reason, repr(entry["name"]), kind="note"))
        else:
            categories[key] = entry["name"]
    return categories, losses


def _id_order(key: str) -> tuple[bool, float, str]:
    """Return the sort key of an ID: numbers first."""
    try:
        number = float(key)
    except ValueError:
        return True, 0.0, key
    return not math.isfinite(number), number if math.isfinite(number) else 0.0, key


def _categories_with_objects(document: Mapping[str, Any]) -> set[str]:
    """Return the IDs of categories with segmentations that are not crowds."""
    return {
        id_text(annotation.get("category_id"))
        for annotation in document["annotations"]
        if not _is_crowd(annotation) and annotation.get("segmentation")
    }


def _is_crowd(annotation: Mapping[str, Any]) -> bool:
    """Return whether `iscrowd` is set; 0, 0.0, "0", false, "false" and a missing value are not."""
    return id_text(annotation.get("iscrowd")).casefold() not in {"0", "0.0", "false", "none", "null", ""}


@dataclass(frozen=True)
class _AnnotationReader:
    """Reader of annotations; a crowd is of its class or void."""

    index_of: Mapping[str, int]
    crowds: Crowds
    with_objects: set[str]

    def read(
        self, annotation: Mapping[str, Any], name: str, image: Mapping[str, Any], losses: list[Loss]
    ) -> tuple[float, Shape]:
        """Return (area, shape). Raises MaskError if the annotation has no valid category or segmentation."""
        category = id_text(annotation.get("category_id"))
        if category not in self.index_of:
            raise MaskError("unknown category_id" if annotation.get("category_id") is not None else "no category_id")
        index = self.index_of[category]
        rings, runs = _outline_of(annotation, name, losses)
        if _is_crowd(annotation) and index != VOID:
            index = self._crowd(category, index, f"{name} on {image['file_name']}", losses)
        return _area(annotation, rings, runs), Shape(name, index, rings, runs)

    def _crowd(self, category: str, index: int, name: str, losses: list[Loss]) -> int:
        if self.crowds == "void" or (self.crowds == "auto" and category in self.with_objects):
            reason = "crowd (iscrowd 1), imported as void; use --crowds class to import it as its class"
            losses.append(Loss("annotation", reason, name, kind="note"))
            return VOID
        reason = "crowd (iscrowd 1), imported as its class; use --crowds void to import it as void"
        losses.append(Loss("annotation", reason, name, kind="note"))
        return index


def _outline_of(annotation: Mapping[str, Any], name: str, losses: list[Loss]) -> tuple[tuple[Ring, ...], Runs | None]:
    """Return rings or run lengths of `segmentation`: polygons, a flat polygon, pairs, RLE, or a list of one RLE."""
    segmentation = annotation.get("segmentation")
    if isinstance(segmentation, list) and len(segmentation) == 1 and isinstance(segmentation[0], dict):
        segmentation = segmentation[0]
    if isinstance(segmentation, dict):
        return (), runs_of(segmentation)
    if not segmentation:
        raise MaskError(
            "bounding box without segmentation, which is not a mask" if annotation.get("bbox") else "no segmentation"
        )
    if not isinstance(segmentation, list):
        raise MaskError(f"segmentation of invalid type {type(segmentation).__name__}")
    if not any(isinstance(part, list | tuple | dict) for part in segmentation):
        segmentation = [segmentation]
    rings, errors = [], []
    for ring in segmentation:
        try:
            rings.append(parse_ring(ring if isinstance(ring, list | tuple) else [ring]))
        except MaskError as error:
            errors.append(str(error))
    if not rings:
        raise MaskError(errors[0])
    if errors:
        losses.append(Loss("outline", errors[0], name, len(errors)))
    return tuple(rings), None


def _area(annotation: Mapping[str, Any], rings: Sequence[Ring], runs: Runs | None) -> float:
    """Return the value of `area` if it is valid, else the area of the outlines or run lengths."""
    given = annotation.get("area")
    if isinstance(given, int | float) and not isinstance(given, bool) and 0 < given < MAX_AREA:
        return float(given)
    if runs is not None:
        return float(min(MAX_AREA, sum(runs.counts[1::2])))
    return float(sum(ring_area([*ring, ring[0]]) for ring in rings))
