"""From any band depth to the 8 bits of a JPEG, by a stretch that is recorded so that inference does the same.

A GeoTIFF's bands are uint16 counts, float reflectances, complex SAR amplitudes or SAR power in dB; the built-in
algorithm reads JPEG. A linear stretch between two percentiles per band (2 and 98 by default, as QGIS does) keeps
what eyes see; SAR spans orders of magnitude and goes through decibels first.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gtseg.errors import ImageError


@dataclass(frozen=True)
class Stretch:
    """Per band: value `low` becomes 0 and `high` becomes 255, after dB where `decibels`."""

    bands: tuple[int, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    decibels: bool = False

    def as_json(self) -> dict[str, object]:
        return {
            "bands": list(self.bands),
            "low": list(self.low),
            "high": list(self.high),
            "decibels": self.decibels,
        }


def to_decibels(bands: NDArray[np.generic]) -> NDArray[np.float32]:
    """(B, H, W) amplitudes, real or complex -> 20 log10 |a|, float32; zero becomes NaN (no echo, no data)."""
    amplitude = np.abs(bands).astype(np.float64)
    with np.errstate(divide="ignore"):
        decibels = 20 * np.log10(amplitude)
    return np.where(np.isfinite(decibels), decibels, np.nan).astype(np.float32)


def fit_stretch(
    bands: NDArray[np.generic],
    valid: NDArray[np.bool_],
    *,
    numbers: tuple[int, ...],
    percentiles: tuple[float, float] = (2.0, 98.0),
    decibels: bool = False,
) -> Stretch:
    """The stretch of (B, H, W) bands over their valid (H, W) pixels; uint8 bands stay as they are."""
    if bands.dtype == np.uint8 and not decibels:
        return Stretch(numbers, (0.0,) * len(numbers), (255.0,) * len(numbers))
    values = to_decibels(bands) if decibels else _real(bands)
    limits = [_limits(band[valid & np.isfinite(band)], percentiles) for band in values]
    return Stretch(numbers, tuple(low for low, _ in limits), tuple(high for _, high in limits), decibels)


def _real(bands: NDArray[np.generic]) -> NDArray[np.float32]:
    if np.iscomplexobj(bands):
        raise ImageError("complex bands (SAR): ask for decibels (--stretch db), a JPEG cannot hold a phase")
    return bands.astype(np.float32)


def _limits(values: NDArray[np.float32], percentiles: tuple[float, float]) -> tuple[float, float]:
    if values.size == 0:
        return 0.0, 1.0
    low, high = (float(v) for v in np.percentile(values, percentiles))
    return (low, high) if high > low else (low, low + 1.0)


def apply_stretch(bands: NDArray[np.generic], stretch: Stretch) -> NDArray[np.uint8]:
    """(B, H, W) bands of any depth -> (H, W, B) uint8; NaN and values below `low` become 0."""
    if bands.dtype == np.uint8 and not stretch.decibels and set(stretch.low) == {0.0} and set(stretch.high) == {255.0}:
        return np.ascontiguousarray(np.moveaxis(bands, 0, -1))
    values = to_decibels(bands) if stretch.decibels else _real(bands)
    low = np.asarray(stretch.low, np.float32)[:, None, None]
    high = np.asarray(stretch.high, np.float32)[:, None, None]
    scaled = np.nan_to_num((values - low) / (high - low), nan=0.0)
    return np.moveaxis(np.rint(np.clip(scaled, 0, 1) * 255).astype(np.uint8), 0, -1)
