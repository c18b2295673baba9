"""Mapbox GL filters, used in Label Maker's configuration.

Source: Mapbox style specification, "Other filter" (the deprecated, array form): `has`, `!has`, `==`, `!=`,
`<`, `<=`, `>`, `>=`, `in`, `!in`, `all`, `any`, `none`.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from gtseg.errors import SettingsError

Filter = Callable[[Mapping[str, Any], str], bool]
ORDER = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}


def compile_filter(expression: Sequence[Any] | None) -> Filter:
    """Return a predicate of (properties, geometry type) for a filter array; None accepts everything.

    Raises SettingsError for an invalid filter.
    """
    if expression is None:
        return lambda properties, geometry: True
    if not isinstance(expression, list | tuple) or not expression or not isinstance(expression[0], str):
        raise SettingsError(f'filter {expression!r}: must be an array such as ["has", "building"]')
    name, *operands = expression
    if name in {"all", "any", "none"}:
        return _combine(name, [compile_filter(part) for part in operands])
    if name not in {"has", "!has", "==", "!=", "in", "!in", *ORDER}:
        raise SettingsError(f"filter {expression!r}: unknown operator {name!r}")
    if not operands or not isinstance(operands[0], str):
        raise SettingsError(f"filter {expression!r}: the second element must be the name of a property")
    return _compare(name, operands[0], operands[1:])


def _combine(name: str, parts: list[Filter]) -> Filter:
    if name == "all":
        return lambda properties, geometry: all(part(properties, geometry) for part in parts)
    if name == "any":
        return lambda properties, geometry: any(part(properties, geometry) for part in parts)
    return lambda properties, geometry: not any(part(properties, geometry) for part in parts)


def _compare(name: str, key: str, wanted: list[Any]) -> Filter:
    if name.startswith("!"):
        positive = _compare("==" if name == "!=" else name[1:], key, wanted)
        return lambda properties, geometry: not positive(properties, geometry)
    if name == "has":
        return lambda properties, geometry: _read(properties, geometry, key) is not None
    if name in {"==", "in"}:
        return lambda properties, geometry: any(_same(_read(properties, geometry, key), w) for w in wanted)
    compare = ORDER[name]
    return lambda properties, geometry: _ordered(compare, _read(properties, geometry, key), wanted[0])


def _read(properties: Mapping[str, Any], geometry: str, key: str) -> Any:
    return geometry.removeprefix("Multi") if key == "$type" else properties.get(key)


def _same(value: Any, wanted: Any) -> bool:
    return value == wanted and (type(value) is type(wanted) or _numbers(value, wanted))


def _numbers(*values: Any) -> bool:
    return all(isinstance(v, int | float) and not isinstance(v, bool) for v in values)


def _ordered(compare: Callable[[Any, Any], bool], value: Any, wanted: Any) -> bool:
    comparable = _numbers(value, wanted) or (isinstance(value, str) and isinstance(wanted, str))
    return bool(comparable and compare(value, wanted))
