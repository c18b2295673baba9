"""Predicted masks back to where they lie on earth: a tree of tiles, or GeoJSON footprints.

A mask is placed by its own name where that is a tile's (`z/x/y.png`, `x-y-z.png`), else by the `places.jsonl` that
its import left.
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

from .footprints import WEB_MERCATOR, Placed, Site, site_at, stream_features, transform_of_tile
from .slippy import Tile, parse_tile


def read_places(folder: Path | None) -> dict[str, dict[str, Any]]:
    """name -> place of an import's folder, with "nodata" the path of the mask of its pixels without data; {} for none."""
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


def _without_nodata(mask: NDArray[np.uint8], place: dict[str, Any], path: Path) -> NDArray[np.uint8]:
    """(H, W) the mask with background where its scene has no data: there is nothing to be seen. ManifestError for another size."""
    if "nodata" not in place:
        return mask
    try:
        with Image.open(place["nodata"], formats=("PNG",)) as image:
            nodata = np.asarray(image.convert("1"))
    except OSError as error:
        raise ManifestError(
            f"{place['nodata']}: not readable ({error}); --places needs the import's whole folder"
        ) from None
    if nodata.shape != mask.shape:
        raise ManifestError(
            f"{path} is {mask.shape[1]}x{mask.shape[0]} pixels, its chip {nodata.shape[1]}x{nodata.shape[0]}: predict the import's "
            "own images"
        )
    return np.where(nodata, np.uint8(0), mask)


def _masks(folder: Path) -> list[Path]:
    found = sorted(p for p in folder.rglob("*.png") if not p.name.startswith("."))
    if not found:
        raise StageError(f"{folder}: no predicted masks (.png) in it")
    return found


def _tile_of(path: Path, folder: Path, places: dict[str, dict[str, Any]]) -> Tile | None:
    tile = parse_tile(path.relative_to(folder))
    if tile is None and "tile" in places.get(path.stem, {}):
        tile = Tile(**places[path.stem]["tile"])
    return tile


def write_tile_tree(folder: Path, target: Path, *, places: dict[str, dict[str, Any]]) -> int:
    """Every mask of `folder` that is a tile as target/z/x/y.png, byte for byte; how many. StageError where none is."""
    count = 0
    for path in _masks(folder):
        tile = _tile_of(path, folder, places)
        if tile is not None:
            write_atomically(target / str(tile.z) / str(tile.x) / f"{tile.y}.png", path.read_bytes())
            count += 1
    if not count:
        raise StageError(f"{folder}: no mask there is named as a tile (z/x/y.png or x-y-z.png)")
    return count


def write_features(
    folder: Path,
    target: Path,
    classes: Sequence[str],
    *,
    places: dict[str, dict[str, Any]],
    tolerance: float = 0.5,
) -> int:
    """The masks' regions as GeoJSON footprints in degrees; how many. One mask is in memory at a time.

    StageError where no mask has a place.
    """
    sites = list(_sites(folder, places))
    if not sites:
        raise StageError(
            f"{folder}: nothing says where these masks lie: they are no tiles, and --places DIR names no import that has them"
        )
    features, count = stream_features(sites, classes, tolerance=tolerance), 0
    with open_atomically(target) as file:
        file.write(b'{"type": "FeatureCollection", "features": [')
        for count, feature in enumerate(features, 1):
            file.write((b",\n" if count > 1 else b"\n") + json.dumps(feature).encode())
        file.write(b"\n]}\n")
    return count


def _sites(folder: Path, places: dict[str, dict[str, Any]]) -> Iterator[Site]:
    """Where each mask lies, from its header; its pixels are read when it is its turn."""
    for path in _masks(folder):
        tile = _tile_of(path, folder, places)
        known = places.get(path.stem, {})
        place = known.get("georeference")
        if tile is None and not (place and place.get("crs")):
            continue
        with Image.open(path, formats=("PNG",)) as image:
            shape = (image.height, image.width)
        if tile is not None:
            transform, crs = transform_of_tile(tile, shape), WEB_MERCATOR
        else:
            assert place is not None
            transform, crs = Affine(*place["transform"]), place["crs"]
        yield site_at(transform, crs, shape, partial(_load, path, known, transform, crs))


def _load(path: Path, known: dict[str, Any], transform: Any, crs: str) -> Placed:
    with Image.open(path, formats=("PNG",)) as image:
        return Placed(_without_nodata(np.asarray(image).astype(np.uint8), known, path), transform, crs)
