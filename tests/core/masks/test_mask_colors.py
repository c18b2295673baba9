"""Color maps and the table of classes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gtseg.core.masks import BACKGROUND, alike_classes, merge_classes, parse_color_map
from gtseg.errors import MaskError


def test_entries_are_sorted_by_index() -> None:
    parsed = parse_color_map({"10": ("j", "#00000a"), "2": ("b", "#000002"), "0": (BACKGROUND, "#FFFFFF")})
    assert [(e.index, e.name, e.color) for e in parsed.entries] == [
        (0, BACKGROUND, 0xFFFFFF),
        (2, "b", 2),
        (10, "j", 10),
    ]


@pytest.mark.parametrize(
    ("entries", "why"),
    [
        ({}, "empty"),
        ({"256": ("a", "#000000")}, "not a pixel value"),
        ({"-1": ("a", "#000000")}, "not a pixel value"),
        ({"x": ("a", "#000000")}, "not a pixel value"),
        ({"1": ("", "#000000")}, "no class-name"),
        ({"1": ("a", "green")}, "not #rrggbb"),
        ({"1": ("a", "#000000"), "01": ("b", "#000001")}, "two entries have the same index"),
        ({"1": ("a", "#000000"), "2": ("b", None)}, "some have none: b"),
    ],
)
def test_an_invalid_color_map_is_refused(entries: dict[str, tuple[str, str | None]], why: str) -> None:
    with pytest.raises(MaskError, match=why):
        parse_color_map(entries)


def test_maps_with_different_label_orders_merge_into_one_table() -> None:
    one = parse_color_map({"0": (BACKGROUND, "#ffffff"), "1": ("cat", "#2ca02c"), "2": ("dog", "#1f77b4")})
    two = parse_color_map({"0": (BACKGROUND, "#ffffff"), "1": ("cow", "#2ca02c"), "2": ("cat", "#1f77b4")})
    assert merge_classes([one, two]).names == (BACKGROUND, "cat", "dog", "cow")


def test_background_is_index_0_also_if_a_map_has_it_elsewhere_or_lacks_it() -> None:
    late = parse_color_map({"1": ("cat", "#2ca02c"), "5": (BACKGROUND, "#000000")})
    assert merge_classes([late]).names[0] == BACKGROUND
    assert merge_classes([parse_color_map({"0": ("cracked", "#23A436")})]).names == (BACKGROUND, "cracked")


def test_usual_names_of_the_background_are_index_0_and_not_a_class() -> None:
    maps = [
        parse_color_map({"0": (BACKGROUND, "#ffffff"), "1": ("cat", "#2ca02c"), "2": ("background", "#000000")}),
        parse_color_map({"0": ("_background_", None), "1": ("cat", None)}),
    ]
    classes = merge_classes(maps)
    assert classes.names == (BACKGROUND, "cat")
    assert [classes.index(name) for name in ("background", "_background_", "cat")] == [0, 0, 1]
    assert all(colors.has_background for colors in maps)


def test_names_that_differ_in_spelling_are_found_and_merged_or_kept() -> None:
    one = parse_color_map({"0": (BACKGROUND, None), "1": ("Traffic Light", None), "2": ("VOID", None)})
    other = parse_color_map({"0": ("Background", None), "1": ("trafficlight", None), "2": ("void", None)})
    assert alike_classes([one, other], void=["void"]) == [("Traffic Light", "trafficlight")]
    kept = merge_classes([one, other], void=["void"])
    assert kept.names == (BACKGROUND, "Traffic Light", "trafficlight")
    merged = merge_classes([one, other], void=["void"], merge_alike=True)
    assert merged.names == (BACKGROUND, "Traffic Light")
    assert merged.index("trafficlight") == 1
    assert merged.index("VOID") == 255


def test_classes_without_colors_get_distinct_colors() -> None:
    classes = merge_classes([parse_color_map({str(i): (f"c{i}", None) for i in range(1, 20)})])
    assert len(set(classes.colors)) == 20


def test_more_classes_than_the_algorithm_supports_are_refused() -> None:
    with pytest.raises(MaskError, match="255 classes"):
        merge_classes([parse_color_map({str(i): (f"c{i}", None) for i in range(1, 255)})])


@given(st.lists(st.lists(st.sampled_from("abcdef"), unique=True, min_size=1), min_size=1))
def test_the_table_has_every_name_once(names: list[list[str]]) -> None:
    maps = [parse_color_map({str(i): (n, None) for i, n in enumerate(group)}) for group in names]
    assert sorted(merge_classes(maps).names[1:]) == sorted({name for group in names for name in group})
