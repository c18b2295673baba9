"""Features that no chip of an import shows, with the reason."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gtseg.core.account import Kind, Loss
from gtseg.core.plurals import counted
from gtseg.errors import ManifestError

from .class_rules import ClassRule
from .features import Feature, Features
from .geo_settings import GeoSettings
from .outcomes import DrawnFeatures, Labeled, Outcome
from .overlap import Extent, explain_no_overlap, extent_of_features, extent_of_scene
from .scene_pairs import Scene
from .scenes import gdal_environment, open_scene

MAX_EXTENTS = 50
"""Scenes that are opened to explain why no feature overlaps one."""


def find_lost_features(
    outcomes: Sequence[Outcome],
    files: Mapping[str, Features],
    scenes: Sequence[Scene],
    settings: GeoSettings,
    rules: Sequence[ClassRule],
) -> list[Loss]:
    """Return the features of `files` (by path) that have a class but are in no chip.

    Raises ManifestError if no feature has a class, or none overlaps a scene.
    """
    drawn: dict[str, set[int]] = {}
    inside: dict[str, set[int]] = {}
    for item in (o for o in outcomes if isinstance(o, DrawnFeatures)):
        drawn.setdefault(item.source, set()).update(item.numbers)
        inside.setdefault(item.source, set()).update(item.inside)
    items = [feature for features in files.values() for feature in features.items]
    if items and not any(_has_class(feature, rules) for feature in items):
        raise ManifestError(_explain_no_class(items, rules))
    has_chips = any(isinstance(o, Labeled) for o in outcomes)
    if has_chips and items and not any(inside.values()):
        raise ManifestError(_explain_no_overlap(files, scenes))
    losses = []
    for path, features in files.items():
        is_shared = sum(Path(path) in scene.features for scene in scenes) == len(scenes) > 0 and len(files) == 1
        for feature in features.items:
            if feature.number not in drawn.get(path, ()) and _has_class(feature, rules):
                reason, kind = _reason(feature, inside.get(path), settings, is_shared=is_shared)
                losses.append(Loss("feature", reason, f"feature {feature.number} of {path}", kind=kind))
    return losses


def _reason(feature: Feature, inside: set[int] | None, settings: GeoSettings, *, is_shared: bool) -> tuple[str, Kind]:
    """Return (reason, kind). `inside`: numbers of the features on a scene, None if no scene of the file was read."""
    is_partial = settings.bbox is not None or settings.date_attribute is not None
    if inside is None:
        return "on a scene that was skipped", "lost"
    if feature.number not in inside:
        if is_partial:
            return "outside the scenes of its date or of the selected box", "note"
        return "outside every scene", "outside" if is_shared else "lost"
    reason = (
        "no pixel in a mask: smaller than a pixel, without data, below another class, or in a chip that was skipped"
    )
    return reason, "note" if is_partial or settings.background_ratio is not None else "lost"


def _has_class(feature: Feature, rules: Sequence[ClassRule]) -> bool:
    return any(rule.accepts(feature.properties, feature.geometry.geom_type) for rule in rules)


def _explain_no_class(items: Sequence[Feature], rules: Sequence[ClassRule]) -> str:
    keys = Counter(key for feature in items for key in feature.properties)
    shown = ", ".join(f"{key} ({count:,}, such as {_example(items, key)!r})" for key, count in keys.most_common(6))
    return (
        f"none of {counted(len(items), 'feature')} matches the filter of a class "
        f"({', '.join(rule.name for rule in rules)}); their properties are {shown or 'none'}"
    )


def _example(items: Sequence[Feature], key: str) -> Any:
    return next((feature.properties[key] for feature in items if feature.properties.get(key) is not None), None)


def _explain_no_overlap(files: Mapping[str, Features], scenes: Sequence[Scene]) -> str:
    areas = []
    for scene in scenes[:MAX_EXTENTS]:
        with gdal_environment(scene.options), open_scene(scene.image) as dataset:
            if dataset.crs:
                areas.append(extent_of_scene(dataset, scene.image))
    found = [extent_of_features(features, path) for path, features in files.items() if features.items]
    return explain_no_overlap([e for e in found if isinstance(e, Extent)], areas)
