"""COCO annotations from masks and back (RLE and polygons).

Source: COCO data format (cocodataset.org/#format-data). One annotation is one connected region of one class (4-neighbors
for polygons, the class's whole region for RLE). RLE is exact. Polygons along pixel edges are exact too, but COCO's polygons
know no holes: a region with holes is written as RLE, and counted.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from gtseg.core.account import Loss, merge_losses
from gtseg.core.classes import VOID_NAME
from gtseg.core.labeling.class_names import arrange_names
from gtseg.errors import ManifestError, MaskError

from .annotations import AnnotatedImage, AnnotationSet, Ring, Shape, ring_of
from .files import read_text
from .rasterization import VOID
from .regions import outlines, ring_area
from .rle import Runs, encode_rle, runs_of

MOST_AREA = 10**18
"""Square pixels; an `area` beyond it is no number that a picture can have."""
Crowds = Literal["auto", "class", "void"]


@dataclass(frozen=True)
class MaskedImage:
    """An image by file name with its (H, W) uint8 class indices, 255 void."""

    file_name: str
    mask: NDArray[np.uint8]


def new_coco(classes: Sequence[str]) -> dict[str, Any]:
    """An empty COCO document; `info.with_holes` counts regions that stay RLE among polygons."""
    return {
        "info": {"description": "exported by gtseg", "with_holes": 0},
        "images": [],
        "annotations": [],
        "categories": [{"id": i, "name": name} for i, name in enumerate(classes, 1)],
    }


def extend_coco(document: dict[str, Any], image: MaskedImage, *, polygons: bool = False) -> None:
    """Add one image and its regions to a document of `new_coco`."""
    height, width = image.mask.shape
    if (image.mask == VOID).any() and document["categories"][-1:] != [_void_category(document)]:
        document["categories"].append(_void_category(document))
    number = len(document["images"]) + 1
    document["images"].append({"id": number, "file_name": image.file_name, "height": height, "width": width})
    for category in document["categories"]:
        is_void = category["name"] == VOID_NAME
        value = VOID if is_void else category["id"]
        for region in _regions(image.mask == value, polygons and not is_void):
            _append(document, number, category["id"], region, is_crowd=is_void)


def _void_category(document: dict[str, Any]) -> dict[str, Any]:
    """COCO has no void: a category of its name, whose annotations are crowds, comes back as void."""
    categories: list[dict[str, Any]] = document["categories"]
    known = next((category for category in categories if category["name"] == VOID_NAME), None)
    return known or {"id": max((category["id"] for category in categories), default=0) + 1, "name": VOID_NAME}


def to_coco(images: Iterable[MaskedImage], classes: Sequence[str], *, polygons: bool = False) -> dict[str, Any]:
    """A COCO document of all images."""
    document = new_coco(classes)
    for image in images:
        extend_coco(document, image, polygons=polygons)
    return document


@dataclass(frozen=True)
class Region:
    segmentation: Any
    area: int
    bbox: list[int]
    holes: bool = False


def _regions(region: NDArray[np.bool_], polygons: bool) -> list[Region]:
    if not region.any():
        return []
    if not polygons:
        return [Region(encode_rle(region), int(region.sum()), _box(region))]
    return [_outline(piece, region.shape) for piece in outlines(region)]


def _outline(rings: list[list[tuple[float, float]]], shape: tuple[int, ...]) -> Region:
    from rasterio.features import rasterize

    if len(rings) == 1:
        xs, ys = [x for x, _ in rings[0]], [y for _, y in rings[0]]
        flat = [float(v) for point in rings[0][:-1] for v in point]
        box = [int(min(xs)), int(min(ys)), int(max(xs) - min(xs)), int(max(ys) - min(ys))]
        return Region([flat], round(ring_area(rings[0])), box)
    piece = rasterize([{"type": "Polygon", "coordinates": rings}], out_shape=shape).astype(bool)
    return Region(encode_rle(piece), int(piece.sum()), _box(piece), holes=True)


def _box(region: NDArray[np.bool_]) -> list[int]:
    rows, columns = np.flatnonzero(region.any(axis=1)), np.flatnonzero(region.any(axis=0))
    return [int(columns[0]), int(rows[0]), int(columns[-1] - columns[0] + 1), int(rows[-1] - rows[0] + 1)]


def _append(document: dict[str, Any], image: int, category: int, region: Region, *, is_crowd: bool = False) -> None:
    document["info"]["with_holes"] += region.holes
    document["annotations"].append(
        {
            "id": len(document["annotations"]) + 1,
            "image_id": image,
            "category_id": category,
            "iscrowd": int(is_crowd),
            "area": region.area,
            "bbox": region.bbox,
            "segmentation": region.segmentation,
        }
    )


def read_coco(path: Path) -> dict[str, Any]:
    """A COCO document with images, annotations and categories, each a list of objects. ManifestError names what is missing."""
    try:
        document = json.loads(read_text(path, "COCO's JSON"))
    except (ValueError, RecursionError) as error:
        raise ManifestError(f"{path}: not a readable COCO file: {error}") from error
    keys = ("images", "annotations", "categories")
    if not isinstance(document, dict) or any(key not in document for key in keys):
        missing = [key for key in keys if not isinstance(document, dict) or key not in document]
        raise ManifestError(f"{path}: no COCO file: it lacks {', '.join(missing)}")
    for key in keys:
        entries = document[key]
        if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
            raise ManifestError(f"{path}: its {key} are no list of objects")
    return document


def identity(value: Any) -> str:
    """An id as text: 7, 7.0 and "7" are one."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value).strip()


def parse_coco(
    document: Mapping[str, Any], source: str, *, crowds: Crowds = "auto", merge: bool | None = None
) -> AnnotationSet:
    """The images, classes and shapes of a document of `read_coco`. Larger annotations come first, so that small ones stay visible.

    `crowds` (iscrowd 1): "auto" makes them void where other annotations of the category are no crowds, else the class.
    """
    categories, losses = _categories(document, source)
    names = arrange_names(list(categories.values()), merge=merge)
    index_of = {key: names.index[name] for key, name in categories.items()}
    reader = _Reader(index_of, crowds, _categories_with_things(document))
    images: dict[str, list[Mapping[str, Any]]] = {}
    for position, entry in enumerate(document["images"], 1):
        if not isinstance(entry.get("file_name"), str) or not entry["file_name"].strip() or "id" not in entry:
            losses.append(Loss("image", f"no id or no file_name in {source}", f"entry {position}"))
        else:
            images.setdefault(identity(entry["id"]), []).append(entry)
    shapes: dict[str, list[tuple[float, Shape]]] = {}
    unreadable: set[str] = set()
    for position, annotation in enumerate(document["annotations"], 1):
        key = identity(annotation.get("image_id"))
        name = f"annotation {annotation.get('id', f'number {position}')}"
        if len(images.get(key, ())) != 1:
            words = "of no image of the file" if key not in images else "of an id that two images have"
            losses.append(Loss("annotation", words, f"{name} (image_id {annotation.get('image_id')!r})"))
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
            problem="none of its annotations can be read: it is no background"
            if key in unreadable and not shapes.get(key)
            else "",
        )
        for key, entries in images.items()
        for entry in entries
    ]
    return AnnotationSet(
        "coco", source, names.classes, tuple(annotated), len(document["annotations"]), merge_losses(losses)
    )


def _ordered(shapes: Iterable[tuple[float, Shape]]) -> tuple[Shape, ...]:
    """Void first, then the largest first."""
    return tuple(shape for _, shape in sorted(shapes, key=lambda item: (item[1].index != VOID, -item[0])))


def _size_of(entry: Mapping[str, Any]) -> tuple[int, int] | None:
    try:
        height, width = int(entry["height"]), int(entry["width"])
    except (KeyError, TypeError, ValueError, OverflowError):
        return None
    return (height, width) if height > 0 and width > 0 else None


def _categories(document: Mapping[str, Any], source: str) -> tuple[dict[str, str], list[Loss]]:
    """id -> name in the order of the ids; a parent category that no annotation uses is left out and told."""
    entries = document["categories"]
    for entry in entries:
        if "id" not in entry or not isinstance(entry.get("name"), str):
            raise ManifestError(f"{source}: a category has no id or no name: {entry!r}"[:200])
    used = Counter(identity(annotation.get("category_id")) for annotation in document["annotations"])
    parents = {str(entry.get("supercategory")) for entry in entries}
    counted = Counter(identity(entry["id"]) for entry in entries)
    if twice := [key for key, count in counted.items() if count > 1]:
        raise ManifestError(f"{source}: two categories have the id {twice[0]}")
    categories, losses = {}, []
    for entry in sorted(entries, key=lambda entry: _order(identity(entry["id"]))):
        key = identity(entry["id"])
        if entry["name"] in parents and not used[key] and len(entries) > 1:
            words = "the parent of others, without an annotation: left out"
            losses.append(Loss("category", words, repr(entry["name"]), kind="note"))
        else:
            categories[key] = entry["name"]
    return categories, losses


def _order(key: str) -> tuple[bool, float, str]:
    try:
        number = float(key)
    except ValueError:
        return True, 0.0, key
    return not math.isfinite(number), number if math.isfinite(number) else 0.0, key


def _categories_with_things(document: Mapping[str, Any]) -> set[str]:
    """The categories of which some annotation with an outline is no crowd."""
    return {
        identity(annotation.get("category_id"))
        for annotation in document["annotations"]
        if not _is_crowd(annotation) and annotation.get("segmentation")
    }


def _is_crowd(annotation: Mapping[str, Any]) -> bool:
    """`iscrowd`: 0, 0.0, "0", false, "false" and nothing are no crowd."""
    return identity(annotation.get("iscrowd")).casefold() not in {"0", "0.0", "false", "none", "null", ""}


@dataclass(frozen=True)
class _Reader:
    """Reads an annotation into a shape of its class, or of void where it is a crowd."""

    index_of: Mapping[str, int]
    crowds: Crowds
    with_things: set[str]

    def read(
        self, annotation: Mapping[str, Any], name: str, image: Mapping[str, Any], losses: list[Loss]
    ) -> tuple[float, Shape]:
        category = identity(annotation.get("category_id"))
        if category not in self.index_of:
            raise MaskError(
                "of a category that the file does not list"
                if annotation.get("category_id") is not None
                else "no category"
            )
        index = self.index_of[category]
        rings, runs = _outline_of(annotation, name, losses)
        if _is_crowd(annotation) and index != VOID:
            index = self._crowd(category, index, f"{name} on {image['file_name']}", losses)
        return _area(annotation, rings, runs), Shape(f"{name}", index, rings, runs)

    def _crowd(self, category: str, index: int, name: str, losses: list[Loss]) -> int:
        if self.crowds == "void" or (self.crowds == "auto" and category in self.with_things):
            losses.append(
                Loss(
                    "annotation",
                    "crowds (iscrowd 1), drawn as void; --crowds class takes them as their class",
                    name,
                    kind="note",
                )
            )
            return VOID
        losses.append(
            Loss(
                "annotation",
                "crowds (iscrowd 1), taken as their class; --crowds void leaves them out",
                name,
                kind="note",
            )
        )
        return index


def _outline_of(annotation: Mapping[str, Any], name: str, losses: list[Loss]) -> tuple[tuple[Ring, ...], Runs | None]:
    """Rings or run lengths of `segmentation`: polygons, one flat polygon, pairs of points, RLE, or a list of one RLE."""
    segmentation = annotation.get("segmentation")
    if isinstance(segmentation, list) and len(segmentation) == 1 and isinstance(segmentation[0], dict):
        segmentation = segmentation[0]
    if isinstance(segmentation, dict):
        return (), runs_of(segmentation)
    if not segmentation:
        raise MaskError(
            "a box and no outline (segmentation): boxes are no masks"
            if annotation.get("bbox")
            else "no outline (segmentation)"
        )
    if not isinstance(segmentation, list):
        raise MaskError(f"a segmentation that is no outline ({type(segmentation).__name__})")
    if not any(isinstance(part, list | tuple | dict) for part in segmentation):
        segmentation = [segmentation]
    rings, wrong = [], []
    for ring in segmentation:
        try:
            rings.append(ring_of(ring if isinstance(ring, list | tuple) else [ring]))
        except MaskError as error:
            wrong.append(str(error))
    if not rings:
        raise MaskError(wrong[0])
    if wrong:
        losses.append(Loss("outline", wrong[0], name, len(wrong)))
    return tuple(rings), None


def _area(annotation: Mapping[str, Any], rings: Sequence[Ring], runs: Runs | None) -> float:
    """`area` where it is a number, else what the outline or the run lengths enclose."""
    given = annotation.get("area")
    if isinstance(given, int | float) and not isinstance(given, bool) and 0 < given < MOST_AREA:
        return float(given)
    if runs is not None:
        return float(min(MOST_AREA, sum(runs.counts[1::2])))
    return float(sum(ring_area([*ring, ring[0]]) for ring in rings))
