"""Small scenes and feature files for tests of `import geo`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from PIL import Image
from rasterio.transform import from_origin

from gtseg.core.account import Account
from gtseg.imports.class_rules import single_class
from gtseg.imports.geo import import_geo
from gtseg.imports.geo_settings import GeoSettings
from gtseg.imports.outcomes import Report
from gtseg.imports.scene_pairs import Scene, pair_scenes

DATA = Path(__file__).parent.parent / "data" / "geo"
BUILDING = single_class("building")
DEGREES = from_origin(10, 50, 1e-4, 1e-4)
UTM = {"crs": "EPSG:32616", "transform": from_origin(500_000, 4_000_000, 1, 1)}


def write_scene(
    path: Path,
    bands: np.ndarray | None = None,
    *,
    crs: str | None = "EPSG:4326",
    transform: Any = DEGREES,
    **options: Any,
) -> Path:
    """Write (B, H, W) bands, by default three gray ones of 128 x 128 pixels, as a GeoTIFF."""
    path.parent.mkdir(parents=True, exist_ok=True)
    values = np.full((3, 128, 128), 90, np.uint8) if bands is None else bands
    count, height, width = values.shape
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        height=height,
        width=width,
        count=count,
        dtype=values.dtype,
        crs=crs,
        transform=transform,
        **options,
    ) as out:
        out.write(values)
    return path


def square(x: float, y: float, side: float = 0.002) -> dict[str, Any]:
    """Return a polygon; the default side is 20 pixels of a scene in degrees."""
    ring = [[x, y], [x + side, y], [x + side, y + side], [x, y + side], [x, y]]
    return {"type": "Polygon", "coordinates": [ring]}


HOUSE = square(10.002, 49.995)
"""400 pixels of a scene in degrees."""


def write_features(path: Path, *geometries: Any, properties: list[dict] | None = None, epsg: int | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    items = [
        {"type": "Feature", "geometry": g, "properties": properties[i] if properties else {}}
        for i, g in enumerate(geometries)
    ]
    crs = {"crs": {"type": "name", "properties": {"name": f"urn:ogc:def:crs:EPSG::{epsg}"}}} if epsg else {}
    path.write_text(json.dumps({"type": "FeatureCollection", **crs, "features": items}))
    return path


def import_scenes(folder: Path, settings: GeoSettings, *scenes: Scene) -> Report:
    return import_geo(scenes, folder, settings, name="geo", workers=1)


def import_folder(folder: Path, **settings: Any) -> tuple[Report, dict[str, np.ndarray]]:
    """Import the scenes in `folder`/scenes with labels.geojson, and return the report and the masks by name."""
    scenes, early = pair_scenes(folder / "scenes", folder / "labels.geojson")
    given = GeoSettings(**{"classes": BUILDING, "chip": 64, **settings})
    report = import_geo(scenes, folder / "out", given, name="geo", early=early, workers=1)
    return report, {p.stem: np.asarray(Image.open(p)) for p in (folder / "out" / "masks").glob("*.png")}


def reasons(account: Account) -> dict[str, tuple[int, str]]:
    """Return (count, kind) of the losses by reason."""
    return {loss.reason: (loss.count, loss.kind) for loss in account.losses}
