"""Writer of COCO annotations, as run lengths (RLE) or polygons.

Source: COCO data format (cocodataset.org/#format-data). With RLE, an annotation is the whole region of a class; with
polygons, it is one 4-connected component. Both are exact: polygons follow pixel edges, and components with holes, which
COCO's polygons cannot have, are written as RLE and counted.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gtseg.core.classes import VOID, VOID_NAME

from .regions import outlines, ring_area
from .rle import encode_rle


@dataclass(frozen=True)
class MaskedImage:
    """File name and (H, W) uint8 class indices (255 void) of an image."""

    file_name: str
    mask: NDArray[np.uint8]


def new_coco(classes: Sequence[str]) -> dict[str, Any]:
    """Return an empty COCO document. `info.with_holes` counts regions that are RLE although polygons are requested."""
    return {
        "info": {"description": "exported by gtseg", "with_holes": 0},
        "images": [],
        "annotations": [],
        "categories": [{"id": i, "name": name} for i, name in enumerate(classes, 1)],
    }


def extend_coco(document: dict[str, Any], image: MaskedImage, *, polygons: bool = False) -> None:
    """Add an image and its regions to a document of `new_coco`."""
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
    """Return the category of void: COCO has no void, so it is a category of crowds, which the reader maps to void."""
    categories: list[dict[str, Any]] = document["categories"]
    known = next((category for category in categories if category["name"] == VOID_NAME), None)
    return known or {"id": max((category["id"] for category in categories), default=0) + 1, "name": VOID_NAME}


def to_coco(images: Iterable[MaskedImage], classes: Sequence[str], *, polygons: bool = False) -> dict[str, Any]:
    """Return a COCO document of all images."""
    document = new_coco(classes)
    for image in images:
        extend_coco(document, image, polygons=polygons)
    return document


@dataclass(frozen=True)
class _Region:
    segmentation: Any
    area: int
    bbox: list[int]
    holes: bool = False


def _regions(region: NDArray[np.bool_], polygons: bool) -> list[_Region]:
    if not region.any():
        return []
    if not polygons:
        return [_Region(encode_rle(region), int(region.sum()), _box(region))]
    return [_polygon(rings, region.shape) for rings in outlines(region)]


def _polygon(rings: list[list[tuple[float, float]]], shape: tuple[int, ...]) -> _Region:
    from rasterio.features import rasterize

    if len(rings) == 1:
        xs, ys = [x for x, _ in rings[0]], [y for _, y in rings[0]]
        flat = [float(v) for point in rings[0][:-1] for v in point]
        box = [int(min(xs)), int(min(ys)), int(max(xs) - min(xs)), int(max(ys) - min(ys))]
        return _Region([flat], round(ring_area(rings[0])), box)
    component = rasterize([{"type": "Polygon", "coordinates": rings}], out_shape=shape).astype(bool)
    return _Region(encode_rle(component), int(component.sum()), _box(component), holes=True)


def _box(region: NDArray[np.bool_]) -> list[int]:
    rows, columns = np.flatnonzero(region.any(axis=1)), np.flatnonzero(region.any(axis=0))
    return [int(columns[0]), int(rows[0]), int(columns[-1] - columns[0] + 1), int(rows[-1] - rows[0] + 1)]


def _append(document: dict[str, Any], image: int, category: int, region: _Region, *, is_crowd: bool = False) -> None:
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
