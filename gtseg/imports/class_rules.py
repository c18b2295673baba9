"""Rules that assign features to classes, in the form of Label Maker's configuration."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from gtseg.core.account import Loss, merge_losses
from gtseg.core.labeling.class_names import arrange_names
from gtseg.errors import SettingsError

from .features import Feature, Features
from .filters import Filter, compile_filter
from .rasterization import Burnable


@dataclass(frozen=True)
class ClassRule:
    """Class name, filter of its features, buffer around them, and class index (0 background, 255 void).

    The buffer is in map units; for slippy-map tiles it is in pixels.
    """

    name: str
    accepts: Filter
    buffer: float = 0.0
    index: int = 0


def read_rules(classes: Sequence[Mapping[str, Any]], *, merge: bool | None = False) -> tuple[ClassRule, ...]:
    """Parse rules such as `{"name": "Roads", "filter": ["has", "highway"], "buffer": 3}`.

    A rule named background draws class 0, one named void 255. `merge`: treatment of similar names, see `arrange_names`.
    Raises SettingsError for unknown keys, a missing or repeated name, or an invalid filter or buffer.
    """
    rules = []
    for entry in classes:
        unknown = set(entry) - {"name", "filter", "buffer"}
        if unknown or not isinstance(entry.get("name"), str):
            raise SettingsError(f"class {dict(entry)!r}: must have the key name, and optionally filter and buffer")
        try:
            buffer = float(entry.get("buffer") or 0)
        except (TypeError, ValueError):
            raise SettingsError(f"class {entry['name']!r}: buffer {entry['buffer']!r} must be a number") from None
        rules.append(ClassRule(entry["name"], compile_filter(entry.get("filter")), buffer))
    names = [rule.name for rule in rules]
    if len(set(names)) != len(names):
        raise SettingsError(f"classes {names}: a name is given more than once")
    index = arrange_names(names, merge=merge).index
    return tuple(replace(rule, index=index[rule.name]) for rule in rules)


def class_names(classes: Sequence[Mapping[str, Any]], *, merge: bool | None = False) -> tuple[str, ...]:
    """Return the names of classes 1, 2, ... of these rules."""
    return arrange_names([rule.name for rule in read_rules(classes, merge=merge)], merge=merge).classes


def single_class(name: str) -> tuple[dict[str, Any], ...]:
    """Return the rule that assigns every feature to one class, such as SpaceNet's building footprints."""
    return ({"name": name, "filter": None},)


def rules_by_attribute(features: Features, attribute: str, *, merge: bool | None = None) -> tuple[dict[str, Any], ...]:
    """Return one rule per value of an attribute, in sorted order. 3, 3.0 and "3" are the same value.

    Raises SettingsError if no feature has the attribute.
    """
    values: dict[str, list[Any]] = {}
    for feature in features.items:
        value = feature.properties.get(attribute)
        if value is None or isinstance(value, dict | list) or (isinstance(value, float) and not math.isfinite(value)):
            continue
        whole = int(value) if isinstance(value, float) and value.is_integer() else value
        known = values.setdefault(str(whole), [])
        if value not in known:
            known.append(value)
    if not values:
        keys = sorted({key for f in features.items[:100] for key in f.properties})
        raise SettingsError(
            f"no feature has the attribute {attribute!r}; their attributes are {', '.join(keys) or 'none'}"
        )
    names = arrange_names(sorted(values), merge=merge)
    groups: dict[str, list[Any]] = {}
    for name in sorted(values):
        index = names.index[name]
        owner = names.classes[index - 1] if 0 < index <= len(names.classes) else name
        groups.setdefault(owner, []).extend(values[name])
    return tuple({"name": name, "filter": ["in", attribute, *members]} for name, members in groups.items())


def classify(features: Sequence[Feature], rules: Sequence[ClassRule]) -> list[Burnable]:
    """Return the geometries with their class indices in class order: later classes cover earlier ones (Label Maker)."""
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
    """Return the features without a class, and notes on lines and points without a buffer.

    A feature that no filter accepts is a note; if the classes are the values of an `attribute`, it is a loss.
    """
    losses = []
    for feature in features:
        name = f"feature {feature.number} of {source}"
        matching = [rule for rule in rules if rule.accepts(feature.properties, feature.geometry.geom_type)]
        if not matching and attribute is not None:
            value = feature.properties.get(attribute)
            reason = f"no single value of the attribute {attribute!r}, which names the classes"
            losses.append(Loss("feature", reason, f"{name} ({value!r:.60})"))
        elif not matching:
            losses.append(Loss("feature", "excluded by the class filters", name, kind="note"))
        elif not feature.geometry.area and not any(rule.buffer for rule in matching):
            reason = 'line or point without a buffer, drawn one pixel wide ("buffer" in --config)'
            losses.append(Loss("feature", reason, f"{name} ({feature.geometry.geom_type})", kind="note"))
        if matching and all(rule.buffer and feature.geometry.buffer(rule.buffer).is_empty for rule in matching):
            losses.append(Loss("feature", "empty after its negative buffer", name))
    return merge_losses(losses)
