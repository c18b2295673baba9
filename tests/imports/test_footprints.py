from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from shapely.geometry import shape

from gtseg.imports.footprints import (
    Placed,
    Site,
    place_of_tile,
    site_at,
    stream_features,
    to_feature_collection,
)
from gtseg.imports.slippy import Tile


def test_a_building_on_a_tile_border_is_one_footprint() -> None:
    left, right = np.zeros((2, 256, 256), np.uint8)
    left[100:120, 250:] = 1
    right[100:120, :6] = 1
    west, east = Tile(18, 70762, 104119), Tile(18, 70763, 104119)
    found = to_feature_collection([place_of_tile(left, west), place_of_tile(right, east)], ["house"])["features"]
    assert len(found) == 1
    side = 40075016.68 / 2**18 / 256
    assert found[0]["properties"]["area"] == pytest.approx(12 * 20 * side * side, rel=1e-4)


def test_coordinates_are_degrees_where_the_tile_is() -> None:
    tile = Tile(18, 70762, 104119)
    mask = np.ones((64, 64), np.uint8)
    ring = np.array(
        to_feature_collection([place_of_tile(mask, tile)], ["x"])["features"][0]["geometry"]["coordinates"][0]
    )
    west, south, east, north = tile.bounds()
    assert ring.min(axis=0) == pytest.approx([west, south])
    assert ring.max(axis=0) == pytest.approx([east, north])


def test_specks_are_left_out_and_holes_are_kept() -> None:
    mask = np.zeros((64, 64), np.uint8)
    mask[0, 0] = 1
    mask[10:40, 10:40] = 1
    mask[20:30, 20:30] = 0
    found = to_feature_collection([place_of_tile(mask, Tile(10, 1, 1))], ["x"])["features"]
    assert len(found) == 1
    assert len(found[0]["geometry"]["coordinates"]) == 2


def test_square_metres_are_geodesic() -> None:
    """At 60 degrees north a Mercator metre is half a metre: a quarter of the area."""
    tile = next(t for t in [Tile(14, 9000, y) for y in range(4700, 4800)] if abs(t.bounds()[1] - 60) < 0.01)
    found = to_feature_collection([place_of_tile(np.ones((32, 32), np.uint8), tile)], ["x"])["features"][0][
        "properties"
    ]
    assert found["square_metres"] / found["area"] == pytest.approx(0.25, rel=0.02)


def sites_of_grid(masks: np.ndarray, loaded: list[int]) -> list[Site]:
    """(R, C, H, W) masks as neighboring tiles; `loaded` learns the number of each that is read."""
    sites = []
    for number, (row, column) in enumerate(np.ndindex(masks.shape[:2])):
        placed = place_of_tile(masks[row, column], Tile(18, 70000 + column, 104000 + row))

        def load(placed: Placed = placed, number: int = number) -> Placed:
            loaded.append(number)
            return placed

        sites.append(site_at(placed.transform, placed.crs, placed.mask.shape, load))
    return sites


@given(st.integers(0, 2**32 - 1), st.integers(1, 5), st.integers(1, 5))
@settings(max_examples=25)
def test_polygons_are_joined_across_borders_whatever_is_in_memory_at_once(seed: int, rows: int, columns: int) -> None:
    masks = np.random.default_rng(seed).integers(0, 3, (rows, columns, 4, 4)).astype(np.uint8)
    loaded: list[int] = []
    sites = sites_of_grid(masks, loaded)
    few, all_at_once = (
        list(stream_features(sites, ["a", "b"], tolerance=0, smallest=0, at_once=n)) for n in (1, 10**6)
    )
    assert sorted(map(key_of, few)) == sorted(map(key_of, all_at_once))
    assert sorted(loaded) == sorted([*range(len(sites))] * 2)
    whole = masks.transpose(0, 2, 1, 3).reshape(rows * 4, columns * 4)
    expected = sum(label(whole == index)[1] for index in (1, 2))
    assert len(few) == expected


def key_of(feature: dict[str, Any]) -> tuple[str, float, tuple[float, ...]]:
    outline = shape(feature["geometry"])
    return (
        feature["properties"]["class"],
        feature["properties"]["area"],
        tuple(round(v, 7) for v in outline.bounds),
    )


def label(region: np.ndarray) -> tuple[np.ndarray, int]:
    """4-connected regions, counted by flooding."""
    left, count = region.copy(), 0
    while left.any():
        count += 1
        todo = [tuple(np.argwhere(left)[0])]
        while todo:
            y, x = todo.pop()
            if 0 <= y < left.shape[0] and 0 <= x < left.shape[1] and left[y, x]:
                left[y, x] = False
                todo += [(y + 1, x), (y - 1, x), (y, x + 1), (y, x - 1)]
    return left, count


def test_what_can_reach_no_other_mask_does_not_wait() -> None:
    masks = np.zeros((30, 30, 8, 8), np.uint8)
    masks[:, :, 2:5, 2:5] = 1
    sites, loaded = sites_of_grid(masks, found := []), 0
    for loaded, _ in enumerate(stream_features(sites, ["house"]), 1):
        assert len(found) == loaded  # told before the next mask is read
    assert loaded == 900
