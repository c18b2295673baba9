"""A scene opened as GDAL gives it, or warped where ground control points place it; and which of its pixels are data."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gtseg.errors import ManifestError

from .features import Features
from .photographs import is_band

WAYS_OUT = "warp it first: gdalwarp -t_srs EPSG:4326 {path} warped.tif"


@contextmanager
def open_scene(path: str) -> Iterator[Any]:
    """A rasterio dataset with a place on earth where the file gives one, by ground control points too.

    Raises ManifestError where control points cannot be used; rasterio's errors where it cannot be read.
    """
    import rasterio
    from rasterio.errors import NotGeoreferencedWarning, RasterioError
    from rasterio.vrt import WarpedVRT

    warnings.filterwarnings("ignore", category=NotGeoreferencedWarning)  # said once for each scene, as a reason
    with rasterio.open(path) as scene:
        points, crs = scene.gcps
        if scene.crs is not None or not points:
            yield scene
            return
        if crs is None:
            raise ManifestError(
                f"{path}: its ground control points (GCPs) name no coordinate reference system: "
                f"{WAYS_OUT.format(path=path)}"
            )
        if (transform := fitting_affine(points)) is not None:
            yield PlacedScene(scene, transform, crs)
            return
        options = {} if scene.nodata is not None else {"add_alpha": True}
        try:
            with WarpedVRT(scene, src_crs=crs, crs=crs, **options) as warped:
                yield warped
        except (RasterioError, ValueError, TypeError) as error:
            raise ManifestError(
                f"{path}: its ground control points (GCPs) cannot be used ({error}): {WAYS_OUT.format(path=path)}"
            ) from error


class PlacedScene:
    """A dataset with the place that its control points give it; everything else is the dataset's own."""

    def __init__(self, scene: Any, transform: Any, crs: Any) -> None:
        self._scene, self.transform, self.crs = scene, transform, crs

    def __getattr__(self, name: str) -> Any:
        return getattr(self._scene, name)

    def window_transform(self, window: Any) -> Any:
        from rasterio.windows import transform

        return transform(window, self.transform)


def fitting_affine(points: Sequence[Any]) -> Any:
    """The affine transform that places all control points within half a pixel; None where there is none."""
    from rasterio.transform import from_gcps

    if len(points) < 3:
        return None
    transform = from_gcps(points)
    if not transform or transform.is_degenerate:
        return None
    a, b, c, d, e, f = tuple(~transform)[:6]
    misses = [max(abs(a * p.x + b * p.y + c - p.col), abs(d * p.x + e * p.y + f - p.row)) for p in points]
    return transform if max(misses) <= 0.5 else None


def corners(scene: Any, window: tuple[int, int, int, int]) -> list[tuple[float, float]]:
    """The four corners of a (row, column, height, width) window in the scene's system, also of a rotated scene."""
    row, column, height, width = window
    places = ((column, row), (column + width, row), (column + width, row + height), (column, row + height))
    a, b, c, d, e, f = tuple(scene.transform)[:6]
    return [(a * x + b * y + c, d * x + e * y + f) for x, y in places]


def bounds_of(scene: Any) -> tuple[float, float, float, float]:
    """(left, bottom, right, top) of a scene, also of a rotated one."""
    points = corners(scene, (0, 0, scene.height, scene.width))
    xs, ys = [x for x, _ in points], [y for _, y in points]
    return min(xs), min(ys), max(xs), max(ys)


def color_bands(scene: Any) -> int:
    """How many bands are no alpha."""
    return sum(band.name != "alpha" for band in scene.colorinterp)


def valid_pixels(
    scene: Any,
    bands: NDArray[np.generic],
    numbers: Sequence[int],
    *,
    decibels: bool = False,
    nodata: float | None = None,
    **where: Any,
) -> NDArray[np.bool_]:
    """(H, W): pixels with data in every chosen band, of the (B, H, W) `bands` that were read from the same place.

    No data: GDAL's mask (nodata, alpha, mask bands), NaN and infinity, `nodata` in every band, and with decibels an
    amplitude of zero, of which there is no logarithm (what lies outside a radar's swath).
    """
    if "out_shape" in where:
        where = {"out_shape": (len(numbers), *where["out_shape"][1:])}
    masks = scene.read_masks(list(numbers), **where)
    valid: NDArray[np.bool_] = (masks > 0).all(axis=0)
    if not valid.all() and _alpha_is_band(scene):
        valid = np.ones_like(valid)
        if scene.nodata is not None:
            valid &= ~(bands == scene.nodata).all(axis=0)
    if bands.dtype.kind in "fc":
        valid &= np.isfinite(bands).all(axis=0)
    if decibels:
        valid &= (np.abs(bands) > 0).all(axis=0)
    if nodata is not None:
        valid &= ~(bands == nodata).all(axis=0)
    return valid


def zero_share(scene: Any, numbers: Sequence[int]) -> float:
    """The share of pixels, by a reduced read, that are 0 in every chosen band and that the scene's mask takes for data."""
    step = max(1, int(np.sqrt(scene.height * scene.width / 250_000)))
    shape = (len(numbers), max(1, scene.height // step), max(1, scene.width // step))
    zero = (scene.read(list(numbers), out_shape=shape) == 0).all(axis=0)
    return float((zero & (scene.read_masks(list(numbers), out_shape=shape) > 0).all(axis=0)).mean())


def _alpha_is_band(scene: Any) -> bool:
    """Whether a band that is tagged alpha holds a picture (near infrared): most of its values are neither empty nor full."""
    places = [n for n, band in enumerate(scene.colorinterp, 1) if band.name == "alpha"]
    if not places or scene.dtypes[places[0] - 1] not in {"uint8", "uint16"}:
        return False
    step = max(1, int(np.sqrt(scene.height * scene.width / 250_000)))
    alpha = scene.read(places[0], out_shape=(max(1, scene.height // step), max(1, scene.width // step)))
    if alpha.dtype == np.uint16:
        full = alpha.max()
        alpha = np.where(alpha == full, 255, np.where(alpha > 0, np.clip(alpha // 257, 1, 254), 0)).astype(np.uint8)
    return is_band(alpha)


def wrapped(features: Features, scene: Any) -> Features:
    """The features also a turn of the earth to the east and west, where the scene crosses the antimeridian."""
    from shapely import transform
    from shapely.geometry import box

    left, bottom, right, top = bounds_of(scene)
    crs = scene.crs
    turn = 360.0 if crs.is_geographic else 40_075_016.68557849 if crs.to_epsg() == 3857 else 0.0
    half = turn / 2 * (1 + 1e-9)
    if not turn or (left >= -half and right <= half):
        return features
    area = box(left, bottom, right, top)
    moved = []
    for feature in features.items:
        for shift in (-turn, 0.0, turn):
            geometry = transform(feature.geometry, lambda xy, shift=shift: xy + np.array([shift, 0.0]))
            if shift == 0.0 or geometry.intersects(area):
                moved.append(replace(feature, geometry=geometry))
    return replace(features, items=tuple(moved))
