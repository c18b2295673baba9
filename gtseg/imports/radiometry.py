"""Stretch of bands of any type to the 8 bits of a JPEG. It is recorded, so that inference can repeat it.

Bands of a GeoTIFF are uint16 counts, float reflectances, complex SAR amplitudes or SAR power in dB; the built-in
algorithm reads JPEG. The stretch is linear between two percentiles per band (2 and 98 by default, as in QGIS). SAR
amplitudes span orders of magnitude and are converted to decibels first.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gtseg.errors import ImageError


@dataclass(frozen=True)
class Stretch:
    """Per band, the values that become 0 (`low`) and 255 (`high`), after conversion to dB if `decibels`."""

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
    """Convert (B, H, W) real or complex amplitudes a to 20 log10 |a| as float32; zero (no echo) becomes NaN."""
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
    """Fit a stretch to the valid (H, W) pixels of (B, H, W) bands; uint8 bands stay unchanged.

    Raises ImageError for complex bands without `decibels`.
    """
    if bands.dtype == np.uint8 and not decibels:
        return Stretch(numbers, (0.0,) * len(numbers), (255.0,) * len(numbers))
    values = to_decibels(bands) if decibels else _real(bands)
    limits = [_limits(band[valid & np.isfinite(band)], percentiles) for band in values]
    return Stretch(numbers, tuple(low for low, _ in limits), tuple(high for _, high in limits), decibels)


def _real(bands: NDArray[np.generic]) -> NDArray[np.float32]:
    if np.iscomplexobj(bands):
        raise ImageError("complex bands (SAR): convert them to decibels (--db)")
    return bands.astype(np.float32)


def _limits(values: NDArray[np.float32], percentiles: tuple[float, float]) -> tuple[float, float]:
    if values.size == 0:
        return 0.0, 1.0
    low, high = (float(v) for v in np.percentile(values, percentiles))
    return (low, high) if high > low else (low, low + 1.0)


def apply_stretch(bands: NDArray[np.generic], stretch: Stretch) -> NDArray[np.uint8]:
    """Convert (B, H, W) bands of any type to (H, W, B) uint8; NaN and values below `low` become 0."""
    if bands.dtype == np.uint8 and not stretch.decibels and set(stretch.low) == {0.0} and set(stretch.high) == {255.0}:
        return np.ascontiguousarray(np.moveaxis(bands, 0, -1))
    values = to_decibels(bands) if stretch.decibels else _real(bands)
    low = np.asarray(stretch.low, np.float32)[:, None, None]
    high = np.asarray(stretch.high, np.float32)[:, None, None]
    scaled = np.nan_to_num((values - low) / (high - low), nan=0.0)
    return np.moveaxis(np.rint(np.clip(scaled, 0, 1) * 255).astype(np.uint8), 0, -1)
