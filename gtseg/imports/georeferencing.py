"""Georeferencing of predicted masks: a tree of tiles, or GeoJSON footprints.

The place of a mask is the tile in its name (`z/x/y.png`, `x-y-z.png`), or its entry in the import's `places.jsonl`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from PIL import Image

from gtseg.core.files import open_atomically, write_atomically
from gtseg.errors import ManifestError, StageError

from .footprints import WEB_MERCATOR, GeoMask, MaskFile, mask_file, stream_features, transform_of_tile
from .slippy import Tile, parse_tile


def read_places(folder: Path | None) -> dict[str, dict[str, Any]]:
    """Return the entries of an import's places.jsonl by image name; {} if `folder` is None.

    "nodata" is the path of the mask of pixels without data. Raises ManifestError if the file is invalid.
    """
    if folder is None:
        return {}
    path = folder / "places.jsonl" if folder.is_dir() else folder
    try:
        entries = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line]
        return {entry["name"]: entry | _nodata_of(entry, path.parent) for entry in entries}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ManifestError(f"{path}: not the places.jsonl of an import: {error}") from error


def _nodata_of(entry: dict[str, Any], folder: Path) -> dict[str, Any]:
    return {"nodata": folder / entry["nodata"]} if "nodata" in entry else {}


def _clear_nodata(mask: NDArray[np.uint8], place: dict[str, Any], path: Path) -> NDArray[np.uint8]:
    """Return the (H, W) mask with background where its scene has no data.

    Raises ManifestError if the no-data mask is missing or has a different size.
    """
    if "nodata" not in place:
        return mask
    try:
        with Image.open(place["nodata"], formats=("PNG",)) as image:
            nodata = np.asarray(image.convert("1"))
    except OSError as error:
        raise ManifestError(
            f"{place['nodata']} cannot be read ({error}); --places needs the complete folder of the import"
        ) from None
    if nodata.shape != mask.shape:
        raise ManifestError(
            f"{path} has {mask.shape[1]}x{mask.shape[0]} pixels, its chip {nodata.shape[1]}x{nodata.shape[0]}: "
            "predict the images of the import"
        )
    return np.where(nodata, np.uint8(0), mask)


def _masks(folder: Path) -> list[Path]:
    found = sorted(p for p in folder.rglob("*.png") if not p.name.startswith("."))
    if not found:
        raise StageError(f"{folder}: no predicted masks (.png) found")
    return found


def _tile_of(path: Path, folder: Path, places: dict[str, dict[str, Any]]) -> Tile | None:
    tile = parse_tile(path.relative_to(folder))
    if tile is None and "tile" in places.get(path.stem, {}):
        tile = Tile(**places[path.stem]["tile"])
    return tile


def write_tile_tree(folder: Path, target: Path, *, places: dict[str, dict[str, Any]]) -> int:
    """Copy the masks of tiles to target/z/x/y.png and return their number. Raises StageError if there are none."""
    count = 0
    for path in _masks(folder):
        tile = _tile_of(path, folder, places)
        if tile is not None:
            write_atomically(target / str(tile.z) / str(tile.x) / f"{tile.y}.png", path.read_bytes())
            count += 1
    if not count:
        raise StageError(f"{folder}: no mask has the name of a tile (z/x/y.png or x-y-z.png)")
    return count


def write_features(
    folder: Path,
    target: Path,
    classes: Sequence[str],
    *,
    places: dict[str, dict[str, Any]],
    tolerance: float = 0.5,
) -> int:
    """Write the regions of the masks as GeoJSON footprints in degrees, and return their number.

    One mask at a time is in memory. Raises StageError if no mask has a place.
    """
    files = list(_mask_files(folder, places))
    if not files:
        raise StageError(
            f"{folder}: no mask can be georeferenced: the names are not those of tiles, and --places DIR does not name "
            "an import that contains them"
        )
    features, count = stream_features(files, classes, tolerance=tolerance), 0
    with open_atomically(target) as file:
        file.write(b'{"type": "FeatureCollection", "features": [')
        for count, feature in enumerate(features, 1):
            file.write((b",\n" if count > 1 else b"\n") + json.dumps(feature).encode())
        file.write(b"\n]}\n")
    return count


def _mask_files(folder: Path, places: dict[str, dict[str, Any]]) -> Iterator[MaskFile]:
    """Yield the masks that have a place. Only headers are read here."""
    for path in _masks(folder):
        tile = _tile_of(path, folder, places)
        place = places.get(path.stem, {})
        georeference = place.get("georeference")
        if tile is None and not (georeference and georeference.get("crs")):
            continue
        with Image.open(path, formats=("PNG",)) as image:
            shape = (image.height, image.width)
        if tile is not None:
            transform, crs = transform_of_tile(tile, shape), WEB_MERCATOR
        else:
            assert georeference is not None
            transform, crs = Affine(*georeference["transform"]), georeference["crs"]
        yield mask_file(transform, crs, shape, partial(_load, path, place, transform, crs))


def _load(path: Path, place: dict[str, Any], transform: Any, crs: str) -> GeoMask:
    with Image.open(path, formats=("PNG",)) as image:
        return GeoMask(_clear_nodata(np.asarray(image).astype(np.uint8), place, path), transform, crs)
