"""COCO annotations from masks and back (RLE and polygons).

Source: COCO data format (cocodataset.org/#format-data) and pycocotools' mask API: run lengths go down the columns
and start with zeros; `counts` is a list, or a string of 5-bit groups (LEB128-like, each char 48 + 6 bits).
One annotation is one connected region of one class (4-neighbours for polygons, the class's whole region for RLE
where asked). RLE is exact. Polygons along pixel edges are exact too, but COCO's polygons know no holes: a region
with holes is written as RLE, and counted.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gtseg.errors import ManifestError, MaskError

__all__ = [
    "MaskedImage",
    "decode_rle",
    "encode_rle",
    "extend_coco",
    "from_coco",
    "new_coco",
    "outlines",
    "read_coco",
    "to_coco",
]


@dataclass(frozen=True)
class MaskedImage:
    """An image by file name with its (H, W) uint8 class indices, 255 void."""

    file_name: str
    mask: NDArray[np.uint8]


def encode_rle(region: NDArray[np.bool_]) -> dict[str, Any]:
    """(H, W) bool -> COCO's uncompressed run lengths."""
    flat = np.asarray(region, np.int8).ravel(order="F")
    changes = np.flatnonzero(np.diff(flat)) + 1
    edges = np.concatenate([[0], changes, [flat.size]])
    counts = np.diff(edges).tolist()
    return {"size": list(region.shape), "counts": [0, *counts] if flat.size and flat[0] else counts}


def decode_rle(rle: dict[str, Any]) -> NDArray[np.bool_]:
    """COCO run lengths, as a list or a compressed string, -> (H, W) bool. Raises MaskError where they do not add up."""
    height, width = (int(v) for v in rle["size"])
    counts = rle["counts"]
    runs = _decompress(counts) if isinstance(counts, str | bytes) else [int(c) for c in counts]
    if min(runs, default=0) < 0 or sum(runs) != height * width:
        raise MaskError(
            f"run lengths add up to {sum(runs)}, the size {height}x{width} has {height * width} pixels"
        )
    values = np.arange(len(runs)) % 2 == 1
    return np.repeat(values, runs).reshape((height, width), order="F")


def _decompress(text: str | bytes) -> list[int]:
    data = text.encode("ascii") if isinstance(text, str) else text
    runs: list[int] = []
    position = 0
    while position < len(data):
        value, shift, more = 0, 0, True
        while more:
            if position >= len(data):
                raise MaskError("compressed run lengths end in the middle of a number")
            part = data[position] - 48
            value |= (part & 0x1F) << (5 * shift)
            more, shift, position = bool(part & 0x20), shift + 1, position + 1
            if not more and part & 0x10:
                value |= -1 << (5 * shift)
        runs.append(value + runs[-2] if len(runs) > 2 else value)
    return runs


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
    number = len(document["images"]) + 1
    document["images"].append({"id": number, "file_name": image.file_name, "height": height, "width": width})
    for category in document["categories"]:
        for region in _regions(image.mask == category["id"], polygons):
            _append(document, number, category["id"], region)


def to_coco(
    images: Iterable[MaskedImage], classes: Sequence[str], *, polygons: bool = False
) -> dict[str, Any]:
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


def outlines(region: NDArray[np.bool_]) -> list[list[list[tuple[float, float]]]]:
    """Rings along the pixel edges of each 4-connected piece, outer ring first, in (x, y) pixels."""
    from rasterio.features import shapes

    mask = region.astype(np.uint8)
    return [geometry["coordinates"] for geometry, _ in shapes(mask, mask=region, connectivity=4)]


def _outline(rings: list[list[tuple[float, float]]], shape: tuple[int, ...]) -> Region:
    from rasterio.features import rasterize

    if len(rings) == 1:
        xs, ys = [x for x, _ in rings[0]], [y for _, y in rings[0]]
        flat = [float(v) for point in rings[0][:-1] for v in point]
        box = [int(min(xs)), int(min(ys)), int(max(xs) - min(xs)), int(max(ys) - min(ys))]
        return Region([flat], _ring_area(rings[0]), box)
    piece = rasterize([{"type": "Polygon", "coordinates": rings}], out_shape=shape).astype(bool)
    return Region(encode_rle(piece), int(piece.sum()), _box(piece), holes=True)


def _ring_area(ring: Sequence[tuple[float, float]]) -> int:
    xy = np.asarray(ring)
    return round(abs(float(np.dot(xy[:-1, 0], xy[1:, 1]) - np.dot(xy[1:, 0], xy[:-1, 1]))) / 2)


def _box(region: NDArray[np.bool_]) -> list[int]:
    rows, columns = np.flatnonzero(region.any(axis=1)), np.flatnonzero(region.any(axis=0))
    return [int(columns[0]), int(rows[0]), int(columns[-1] - columns[0] + 1), int(rows[-1] - rows[0] + 1)]


def _append(document: dict[str, Any], image: int, category: int, region: Region) -> None:
    document["info"]["with_holes"] += region.holes
    document["annotations"].append(
        {
            "id": len(document["annotations"]) + 1,
            "image_id": image,
            "category_id": category,
            "iscrowd": 0,
            "area": region.area,
            "bbox": region.bbox,
            "segmentation": region.segmentation,
        }
    )


def read_coco(path: Path) -> dict[str, Any]:
    """A COCO document with images, annotations and categories. Raises ManifestError naming what is missing."""
    try:
        document = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError) as error:
        raise ManifestError(f"{path}: not a readable COCO file: {error}") from error
    missing = [key for key in ("images", "annotations", "categories") if key not in document]
    if missing:
        raise ManifestError(f"{path}: no COCO file: it lacks {', '.join(missing)}")
    return document  # type: ignore[no-any-return]


def from_coco(document: dict[str, Any]) -> tuple[list[MaskedImage], tuple[str, ...]]:
    """Masks of every image; categories become classes in the order of their ids. Later annotations lie on top,
    larger ones first, so that small regions stay visible; crowd regions become void (255)."""
    categories = sorted(document["categories"], key=lambda entry: entry["id"])
    index_of = {entry["id"]: i for i, entry in enumerate(categories, 1)}
    by_image: dict[Any, list[dict[str, Any]]] = {}
    for annotation in document["annotations"]:
        by_image.setdefault(annotation["image_id"], []).append(annotation)
    images = [_paint(image, by_image.get(image["id"], []), index_of) for image in document["images"]]
    return images, tuple(str(entry["name"]) for entry in categories)


def _paint(image: dict[str, Any], annotations: list[dict[str, Any]], index_of: dict[Any, int]) -> MaskedImage:
    mask = np.zeros((int(image["height"]), int(image["width"])), np.uint8)
    for annotation in sorted(annotations, key=lambda a: (not a.get("iscrowd"), -float(a.get("area") or 0))):
        if annotation["category_id"] not in index_of:
            raise ManifestError(f"annotation {annotation.get('id')}: no category {annotation['category_id']}")
        index = 255 if annotation.get("iscrowd") else index_of[annotation["category_id"]]
        mask[_region(annotation, mask.shape)] = index
    return MaskedImage(str(image["file_name"]), mask)


def _region(annotation: dict[str, Any], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    segmentation = annotation.get("segmentation") or []
    if isinstance(segmentation, dict):
        region = decode_rle(segmentation)
        if region.shape != shape:
            raise MaskError(
                f"annotation {annotation.get('id')}: its size {region.shape} is not its image's {shape}"
            )
        return region
    from rasterio.features import rasterize

    rings = [list(zip(ring[0::2], ring[1::2], strict=True)) for ring in segmentation if len(ring) >= 6]
    shapes = [{"type": "Polygon", "coordinates": [[*ring, ring[0]]]} for ring in rings]
    return rasterize(shapes, out_shape=shape).astype(bool) if shapes else np.zeros(shape, bool)
