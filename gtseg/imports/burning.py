"""Vector features -> an (H, W) uint8 mask of class indices, pixel for pixel what `rasterio.features.rasterize` burns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gtseg.errors import SettingsError

from .features import Feature
from .filters import Filter, compile_filter

__all__ = ["VOID", "ClassRule", "burn", "classify", "read_rules"]

VOID = 255  # what the dataset stage, training and metrics leave out


@dataclass(frozen=True)
class ClassRule:
    """A class by name, the features that belong to it, and a buffer around them (map units; tile pixels for tiles)."""

    name: str
    accepts: Filter
    buffer: float = 0.0


def read_rules(classes: Sequence[Mapping[str, Any]]) -> tuple[ClassRule, ...]:
    """Rules as Label Maker writes them: `{"name": "Roads", "filter": ["has", "highway"], "buffer": 3}`."""
    rules = []
    for entry in classes:
        unknown = set(entry) - {"name", "filter", "buffer"}
        if unknown or not isinstance(entry.get("name"), str):
            raise SettingsError(f"class {dict(entry)!r}: want name, filter and perhaps buffer")
        rules.append(
            ClassRule(entry["name"], compile_filter(entry.get("filter")), float(entry.get("buffer") or 0))
        )
    names = [rule.name for rule in rules]
    if len(set(names)) != len(names):
        raise SettingsError(f"classes {names}: each name once")
    return tuple(rules)


def classify(features: Sequence[Feature], rules: Sequence[ClassRule]) -> list[tuple[Any, int]]:
    """(geometry, class index from 1) pairs in class order, so that a later class lies on top, as Label Maker draws."""
    shapes = []
    for index, rule in enumerate(rules, 1):
        for feature in features:
            if rule.accepts(feature.properties, feature.geometry.geom_type):
                geometry = (
                    feature.geometry.buffer(rule.buffer, quad_segs=4) if rule.buffer else feature.geometry
                )
                if not geometry.is_empty:
                    shapes.append((geometry, index))
    return shapes


def burn(
    shapes: Sequence[tuple[Any, int]], size: tuple[int, int], *, transform: Any, all_touched: bool = False
) -> NDArray[np.uint8]:
    """(H, W) uint8: 0 where nothing lies, else the class index of the topmost shape."""
    from rasterio.features import rasterize

    if not shapes:
        return np.zeros(size, np.uint8)
    return rasterize(
        list(shapes), out_shape=size, fill=0, transform=transform, all_touched=all_touched, dtype="uint8"
    )
