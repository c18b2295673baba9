"""Vector features -> an (H, W) uint8 mask of class indices, pixel for pixel what `rasterio.features.rasterize` burns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gtseg.core.account import Loss, merge_losses
from gtseg.core.labeling.class_names import arrange_names
from gtseg.errors import SettingsError

from .features import Feature
from .filters import Filter, compile_filter

VOID = 255  # what the dataset stage, training and metrics leave out


@dataclass(frozen=True)
class ClassRule:
    """A class by name, its index (255: void), the features that belong to it, and a buffer around them (map units; tile pixels for tiles)."""

    name: str
    accepts: Filter
    buffer: float = 0.0
    index: int = 0


class Burnable(NamedTuple):
    """A geometry in map units, its class index, and the number of its feature in its file."""

    geometry: Any
    label: int
    number: int = 0


def read_rules(classes: Sequence[Mapping[str, Any]], *, merge: bool | None = False) -> tuple[ClassRule, ...]:
    """Rules as Label Maker writes them: `{"name": "Roads", "filter": ["has", "highway"], "buffer": 3}`.

    A rule of the background draws class 0, one of void 255. `merge`: names that look alike, see `arrange_names`.
    """
    rules = []
    for entry in classes:
        unknown = set(entry) - {"name", "filter", "buffer"}
        if unknown or not isinstance(entry.get("name"), str):
            raise SettingsError(f"class {dict(entry)!r}: want name, filter and perhaps buffer")
        try:
            buffer = float(entry.get("buffer") or 0)
        except (TypeError, ValueError):
            raise SettingsError(f"class {entry['name']!r}: buffer {entry['buffer']!r} is no number") from None
        rules.append(ClassRule(entry["name"], compile_filter(entry.get("filter")), buffer))
    names = [rule.name for rule in rules]
    if len(set(names)) != len(names):
        raise SettingsError(f"classes {names}: each name once")
    index = arrange_names(names, merge=merge).index
    return tuple(ClassRule(rule.name, rule.accepts, rule.buffer, index[rule.name]) for rule in rules)


def class_names(classes: Sequence[Mapping[str, Any]], *, merge: bool | None = False) -> tuple[str, ...]:
    """The names of the classes 1, 2, ... of these rules."""
    return arrange_names([rule.name for rule in read_rules(classes, merge=merge)], merge=merge).classes


def classify(features: Sequence[Feature], rules: Sequence[ClassRule]) -> list[Burnable]:
    """Geometries with their class index in class order, so that a later class lies on top, as Label Maker draws."""
    shapes = []
    for rule in rules:
        for feature in features:
            if rule.accepts(feature.properties, feature.geometry.geom_type):
                geometry = feature.geometry.buffer(rule.buffer, quad_segs=4) if rule.buffer else feature.geometry
                if not geometry.is_empty:
                    shapes.append(Burnable(geometry, rule.index, feature.number))
    return shapes


def unclassified(
    features: Sequence[Feature], rules: Sequence[ClassRule], source: str, *, attribute: str | None = None
) -> tuple[Loss, ...]:
    """Features that no class takes (a filter's choice), and lines and points that nothing widens.

    Where the classes are the values of an `attribute`, a feature without such a value is lost: nobody chose to leave it out.
    """
    losses = []
    for feature in features:
        name = f"feature {feature.number} of {source}"
        mine = [rule for rule in rules if rule.accepts(feature.properties, feature.geometry.geom_type)]
        if not mine and attribute is not None:
            value = feature.properties.get(attribute)
            words = f"no single value of the attribute {attribute!r}, which names the classes"
            losses.append(Loss("feature", words, f"{name} ({value!r:.60})"))
        elif not mine:
            losses.append(Loss("feature", "of no class by the filters", name, kind="note"))
        elif not feature.geometry.area and not any(rule.buffer for rule in mine):
            words = 'a line or a point without a buffer, drawn one pixel wide (config: "buffer")'
            losses.append(Loss("feature", words, f"{name} ({feature.geometry.geom_type})", kind="note"))
        if mine and all(rule.buffer and feature.geometry.buffer(rule.buffer).is_empty for rule in mine):
            losses.append(Loss("feature", "nothing is left after the negative buffer", name))
    return merge_losses(losses)


def burn(
    shapes: Sequence[Any], size: tuple[int, int], *, transform: Any, all_touched: bool = False
) -> NDArray[np.uint8]:
    """(H, W) uint8: 0 where nothing lies, else the class index of the topmost shape (geometry, index, ...)."""
    from rasterio.features import rasterize

    if not shapes:
        return np.zeros(size, np.uint8)
    pairs = [(shape[0], shape[1]) for shape in shapes]
    burned: NDArray[np.uint8] = rasterize(
        pairs, out_shape=size, fill=0, transform=transform, all_touched=all_touched, dtype="uint8"
    )
    return burned


@dataclass(frozen=True)
class Burned:
    """(H, W) uint8 class indices, and the numbers of the features that have a pixel in it or lie under their own class."""

    mask: NDArray[np.uint8]
    numbers: tuple[int, ...]


MOST_LOOKED_AT = 500
"""Shapes without a pixel that are burned alone, to see whether their own class covers them."""


def burn_numbered(
    shapes: Sequence[Burnable],
    size: tuple[int, int],
    *,
    transform: Any,
    all_touched: bool = False,
    valid: NDArray[np.bool_] | None = None,
) -> Burned:
    """As `burn`, with the features that arrive; pixels that are not `valid` (H, W) are void and show nothing."""
    from rasterio.features import rasterize

    owners = np.zeros(size, np.int32)
    if shapes:
        pairs = [(shape.geometry, place) for place, shape in enumerate(shapes, 1)]
        owners = rasterize(pairs, out_shape=size, fill=0, transform=transform, all_touched=all_touched, dtype="int32")
    mask = np.array([0, *(shape.label for shape in shapes)], np.uint8)[owners]
    if valid is not None:
        mask[~valid] = VOID
        owners = np.where(valid, owners, 0)
    counts = np.bincount(owners.ravel(), minlength=len(shapes) + 1)
    seen = {shape.number for place, shape in enumerate(shapes, 1) if counts[place]}
    for shape in [s for s in shapes if s.number not in seen][:MOST_LOOKED_AT]:
        alone = burn([shape], size, transform=transform, all_touched=all_touched)
        if shape.label and bool((mask[alone > 0] == shape.label).any()):
            seen.add(shape.number)
    return Burned(mask, tuple(sorted(seen)))
