import pytest

from gtseg.errors import SettingsError
from gtseg.imports.filters import compile_filter

ROAD = {"highway": "primary", "lanes": 2, "bridge": None}


@pytest.mark.parametrize(
    ("expression", "passes"),
    [
        (None, True),
        (["has", "highway"], True),
        (["has", "bridge"], False),
        (["!has", "building"], True),
        (["==", "highway", "primary"], True),
        (["!=", "highway", "primary"], False),
        (["==", "lanes", 2.0], True),
        (["==", "lanes", "2"], False),
        (["in", "highway", "tertiary", "primary"], True),
        (["!in", "highway", "tertiary"], True),
        ([">=", "lanes", 2], True),
        (["<", "lanes", 2], False),
        (["<", "highway", 2], False),
        (["==", "$type", "LineString"], True),
        (["all", ["has", "highway"], [">", "lanes", 1]], True),
        (["any", ["has", "x"], ["has", "y"]], False),
        (["none", ["has", "x"], ["has", "y"]], True),
    ],
)
def test_a_filter_follows_the_style_specification(expression: list | None, passes: bool) -> None:
    assert compile_filter(expression)(ROAD, "MultiLineString") is passes


@pytest.mark.parametrize("expression", [[], ["near", "x"], "has", ["has"], ["==", 3, 4], ["all", "x"]])
def test_an_invalid_filter_is_rejected(expression: object) -> None:
    with pytest.raises(SettingsError, match="filter"):
        compile_filter(expression)  # type: ignore[arg-type]
