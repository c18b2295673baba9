import numpy as np
import pytest

from gtseg.imports.footprints import place_of_tile, to_feature_collection
from gtseg.imports.slippy import Tile


def test_a_building_on_a_tile_border_is_one_footprint() -> None:
    left, right = np.zeros((2, 256, 256), np.uint8)
    left[100:120, 250:] = 1
    right[100:120, :6] = 1
    west, east = Tile(18, 70762, 104119), Tile(18, 70763, 104119)
    found = to_feature_collection([place_of_tile(left, west), place_of_tile(right, east)], ["house"])[
        "features"
    ]
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
