"""Access to scenes through rasterio: georeference (transform or ground control points) and valid pixels."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gtseg.errors import ManifestError

from .photographs import is_band

CACHE_BYTES = 128 * 2**20
"""GDAL's block cache per process: a row of chips of a wide scene. GDAL's default is a share of the machine's memory."""
GCP_HINT = "warp it first: gdalwarp -t_srs EPSG:4326 {path} warped.tif"


def gdal_environment(options: Sequence[tuple[str, str]]) -> Any:
    """Return a rasterio.Env for reading; rasterio takes credentials as a session and other GDAL options by name."""
    import rasterio
    from rasterio.session import AWSSession

    rest = dict(options)
    if not rest:
        return rasterio.Env(GDAL_CACHEMAX=CACHE_BYTES)
    session = AWSSession(
        aws_access_key_id=rest.pop("AWS_ACCESS_KEY_ID", None),
        aws_secret_access_key=rest.pop("AWS_SECRET_ACCESS_KEY", None),
        aws_session_token=rest.pop("AWS_SESSION_TOKEN", None),
        region_name=rest.pop("AWS_REGION", None),
        endpoint_url=rest.pop("AWS_S3_ENDPOINT", None),
        aws_unsigned=rest.pop("AWS_NO_SIGN_REQUEST", "NO") == "YES",
    )
    return rasterio.Env(session, GDAL_CACHEMAX=CACHE_BYTES, **rest)


@contextmanager
def open_scene(path: str) -> Iterator[Any]:
    """Open a scene as a rasterio dataset, georeferenced by its transform or its ground control points, if any.

    Raises ManifestError for unusable control points, and rasterio's errors for an unreadable file.
    """
    import rasterio
    from rasterio.errors import NotGeoreferencedWarning, RasterioError
    from rasterio.vrt import WarpedVRT

    warnings.filterwarnings("ignore", category=NotGeoreferencedWarning)  # reported as the reason of a skipped scene
    with rasterio.open(path) as scene:
        points, crs = scene.gcps
        if scene.crs is not None or not points:
            yield scene
            return
        if crs is None:
            raise ManifestError(
                f"{path}: its ground control points (GCPs) have no coordinate reference system: "
                f"{GCP_HINT.format(path=path)}"
            )
        if (transform := fit_affine(points)) is not None:
            yield GeoreferencedScene(scene, transform, crs)
            return
        options = {} if scene.nodata is not None else {"add_alpha": True}
        try:
            with WarpedVRT(scene, src_crs=crs, crs=crs, **options) as warped:
                yield warped
        except (RasterioError, ValueError, TypeError) as error:
            raise ManifestError(
                f"{path}: its ground control points (GCPs) cannot be used ({error}): {GCP_HINT.format(path=path)}"
            ) from error


class GeoreferencedScene:
    """Dataset with the transform and system of its control points; other attributes are the dataset's."""

    def __init__(self, scene: Any, transform: Any, crs: Any) -> None:
        self._scene, self.transform, self.crs = scene, transform, crs

    def __getattr__(self, name: str) -> Any:
        return getattr(self._scene, name)

    def window_transform(self, window: Any) -> Any:
        from rasterio.windows import transform

        return transform(window, self.transform)


def fit_affine(points: Sequence[Any]) -> Any:
    """Return the affine transform that fits all control points within half a pixel, or None."""
    from rasterio.transform import from_gcps

    if len(points) < 3:
        return None
    transform = from_gcps(points)
    if not transform or transform.is_degenerate:
        return None
    a, b, c, d, e, f = tuple(~transform)[:6]
    residuals = [max(abs(a * p.x + b * p.y + c - p.col), abs(d * p.x + e * p.y + f - p.row)) for p in points]
    return transform if max(residuals) <= 0.5 else None


def corners(scene: Any, window: tuple[int, int, int, int]) -> list[tuple[float, float]]:
    """Return the four corners of a (row, column, height, width) window in map coordinates.

    The scene may be rotated.
    """
    row, column, height, width = window
    pixels = ((column, row), (column + width, row), (column + width, row + height), (column, row + height))
    a, b, c, d, e, f = tuple(scene.transform)[:6]
    return [(a * x + b * y + c, d * x + e * y + f) for x, y in pixels]


def bounds_of(scene: Any) -> tuple[float, float, float, float]:
    """Return (left, bottom, right, top) of a scene in map coordinates. The scene may be rotated."""
    points = corners(scene, (0, 0, scene.height, scene.width))
    xs, ys = [x for x, _ in points], [y for _, y in points]
    return min(xs), min(ys), max(xs), max(ys)


def color_bands(scene: Any) -> int:
    """Return the number of bands other than alpha."""
    return sum(band.name != "alpha" for band in scene.colorinterp)


def valid_pixels(
    scene: Any,
    bands: NDArray[np.generic],
    numbers: Sequence[int],
    *,
    decibels: bool = False,
    nodata: float | None = None,
    **region: Any,
) -> NDArray[np.bool_]:
    """Return (H, W) bool: pixels with data in every selected band. `bands`: (B, H, W) values read from `region`.

    Pixels without data: GDAL's mask (no-data value, alpha, mask bands), NaN and infinity, `nodata` in every band, and
    with decibels an amplitude of zero (outside the swath of a radar), which has no logarithm.
    """
    if "out_shape" in region:
        region = {"out_shape": (len(numbers), *region["out_shape"][1:])}
    masks = scene.read_masks(list(numbers), **region)
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
    """Return the share of valid pixels that are 0 in every selected band, from a read at reduced resolution."""
    step = max(1, int(np.sqrt(scene.height * scene.width / 250_000)))
    shape = (len(numbers), max(1, scene.height // step), max(1, scene.width // step))
    zero = (scene.read(list(numbers), out_shape=shape) == 0).all(axis=0)
    return float((zero & (scene.read_masks(list(numbers), out_shape=shape) > 0).all(axis=0)).mean())


def _alpha_is_band(scene: Any) -> bool:
    """Return whether the alpha band contains image data, such as near infrared: most values are partly transparent."""
    numbers = [n for n, band in enumerate(scene.colorinterp, 1) if band.name == "alpha"]
    if not numbers or scene.dtypes[numbers[0] - 1] not in {"uint8", "uint16"}:
        return False
    step = max(1, int(np.sqrt(scene.height * scene.width / 250_000)))
    alpha = scene.read(numbers[0], out_shape=(max(1, scene.height // step), max(1, scene.width // step)))
    if alpha.dtype == np.uint16:
        full = alpha.max()
        alpha = np.where(alpha == full, 255, np.where(alpha > 0, np.clip(alpha // 257, 1, 254), 0)).astype(np.uint8)
    return is_band(alpha)
