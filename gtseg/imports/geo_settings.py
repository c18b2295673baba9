"""Settings of an import of scenes, and those of an earlier import that new scenes are converted with."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gtseg.errors import ManifestError

from .radiometry import Stretch


@dataclass(frozen=True)
class GeoSettings:
    """Conversion of scenes to chips: sizes in pixels, buffers in the scene's map units, ratio per labeled chip."""

    classes: tuple[dict[str, Any], ...]
    chip: int = 512
    overlap: int = 0
    bands: tuple[int, ...] = ()
    percentiles: tuple[float, float] = (2.0, 98.0)
    decibels: bool = False
    all_touched: bool = False
    background_ratio: float | None = None
    bbox: tuple[float, float, float, float] | None = None
    features_crs: str | None = None
    seed: int = 0
    nodata: float | None = None
    """No-data value of scenes that declare none: pixels with this value in every selected band."""
    date_attribute: str | None = None
    """Attribute with the date of a feature; a scene takes the features of the date in its name."""
    class_attribute: str | None = None
    """Attribute whose values are the classes; a feature without a value is lost."""
    stretch: Stretch | None = None
    """Stretch of an earlier import, so that a model gets inputs like its training data; None: fitted per scene."""


def read_chip_grid(folder: Path) -> tuple[int, int, tuple[int, ...]]:
    """Return (chip size, overlap, bands) of an earlier import of scenes.

    Raises ManifestError if the folder is not that of a finished import of scenes.
    """
    try:
        settings = json.loads((folder / "import.json").read_text(encoding="utf-8"))["settings"]
        if settings["kind"] != "geo":
            raise KeyError("kind")
    except (OSError, ValueError, KeyError, TypeError):
        raise ManifestError(f"{folder} is not the folder of a finished `gtseg import geo`, as --like needs") from None
    return int(settings["chip"]), int(settings["overlap"]), tuple(int(n) for n in settings["bands"])


def read_stretch(folder: Path) -> Stretch:
    """Return the median of the stretches of an earlier import's scenes. Raises ManifestError if it has none."""
    lines = [json.loads(line) for line in (folder / "places.jsonl").read_text(encoding="utf-8").splitlines()]
    found = [line["stretch"] for line in lines if "stretch" in line]
    if not found:
        raise ManifestError(f"{folder / 'places.jsonl'} has no stretch: import the scenes again")
    low, high = (np.median([entry[end] for entry in found], axis=0) for end in ("low", "high"))
    first = found[0]
    return Stretch(tuple(first["bands"]), tuple(map(float, low)), tuple(map(float, high)), bool(first["decibels"]))
