from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.features import rasterize
from shapely.geometry import box, shape

from gtseg.imports.features import read_features
from gtseg.imports.footprints import (
    GeoMask,
    MaskFile,
    mask_file,
    mask_of_tile,
    stream_features,
    to_feature_collection,
)
from gtseg.imports.slippy import Tile

DATA = Path(__file__).parent.parent / "data" / "geo"


def test_footprints_of_a_burned_mask_have_the_area_of_the_features() -> None:
    features = read_features(DATA / "features" / "geoms_733826_3725049.geojson").items
    with rasterio.open(DATA / "images" / "sample_geotiff_733826_3725049.tif") as source:
        mask = rasterize([f.geometry for f in features], out_shape=source.shape, transform=source.transform)
        placed = GeoMask(mask.astype(np.uint8), source.transform, str(source.crs))
        found = to_feature_collection([placed], ["building"], tolerance=0, smallest=0)["features"]
        pixel = abs(source.transform.a * source.transform.e)
        scene = box(*source.bounds)
    inside = sum(f.geometry.intersection(scene).area for f in features)
    edge = sum(f.geometry.intersection(scene).length for f in features)
    assert abs(sum(f["properties"]["area"] for f in found) - inside) < edge * pixel**0.5


def test_a_building_on_a_tile_border_is_one_footprint() -> None:
    left, right = np.zeros((2, 256, 256), np.uint8)
    left[100:120, 250:] = 1
    right[100:120, :6] = 1
    west, east = Tile(18, 70762, 104119), Tile(18, 70763, 104119)
    found = to_feature_collection([mask_of_tile(left, west), mask_of_tile(right, east)], ["house"])["features"]
    assert len(found) == 1
    side = 40075016.68 / 2**18 / 256
    assert found[0]["properties"]["area"] == pytest.approx(12 * 20 * side * side, rel=1e-4)


def test_coordinates_are_in_degrees() -> None:
    tile = Tile(18, 70762, 104119)
    mask = np.ones((64, 64), np.uint8)
    ring = np.array(
        to_feature_collection([mask_of_tile(mask, tile)], ["x"])["features"][0]["geometry"]["coordinates"][0]
    )
    west, south, east, north = tile.bounds()
    assert ring.min(axis=0) == pytest.approx([west, south])
    assert ring.max(axis=0) == pytest.approx([east, north])


def test_small_regions_are_omitted_and_holes_are_kept() -> None:
    mask = np.zeros((64, 64), np.uint8)
    mask[0, 0] = 1
    mask[10:40, 10:40] = 1
    mask[20:30, 20:30] = 0
    found = to_feature_collection([mask_of_tile(mask, Tile(10, 1, 1))], ["x"])["features"]
    assert len(found) == 1
    assert len(found[0]["geometry"]["coordinates"]) == 2


def test_square_metres_are_geodesic() -> None:
    """At 60 degrees north, a meter in Web Mercator is half a meter on the ground."""
    tile = next(t for t in [Tile(14, 9000, y) for y in range(4700, 4800)] if abs(t.bounds()[1] - 60) < 0.01)
    found = to_feature_collection([mask_of_tile(np.ones((32, 32), np.uint8), tile)], ["x"])["features"][0]["properties"]
    assert found["square_metres"] / found["area"] == pytest.approx(0.25, rel=0.02)


def grid_of_tiles(masks: np.ndarray, loaded: list[int]) -> list[MaskFile]:
    """Return (R, C, H, W) masks as neighboring tiles; the number of each that is read is appended to `loaded`."""
    files = []
    for number, (row, column) in enumerate(np.ndindex(masks.shape[:2])):
        mask = mask_of_tile(masks[row, column], Tile(18, 70000 + column, 104000 + row))

        def load(mask: GeoMask = mask, number: int = number) -> GeoMask:
            loaded.append(number)
            return mask

        files.append(mask_file(mask.transform, mask.crs, mask.mask.shape, load))
    return files


@given(st.integers(0, 2**32 - 1), st.integers(1, 5), st.integers(1, 5))
@settings(max_examples=25)
def test_polygons_are_merged_across_borders_with_any_batch_size(seed: int, rows: int, columns: int) -> None:
    masks = np.random.default_rng(seed).integers(0, 3, (rows, columns, 4, 4)).astype(np.uint8)
    loaded: list[int] = []
    files = grid_of_tiles(masks, loaded)
    single, large = (
        list(stream_features(files, ["a", "b"], tolerance=0, smallest=0, batch_size=n)) for n in (1, 10**6)
    )
    assert sorted(map(key_of, single)) == sorted(map(key_of, large))
    assert sorted(loaded) == sorted([*range(len(files))] * 2)
    whole = masks.transpose(0, 2, 1, 3).reshape(rows * 4, columns * 4)
    assert len(single) == sum(count_regions(whole == index) for index in (1, 2))


def key_of(feature: dict[str, Any]) -> tuple[str, float, tuple[float, ...]]:
    outline = shape(feature["geometry"])
    return (
        feature["properties"]["class"],
        feature["properties"]["area"],
        tuple(round(v, 7) for v in outline.bounds),
    )


def count_regions(region: np.ndarray) -> int:
    """Return the number of 4-connected regions, by flood fill."""
    remaining, count = region.copy(), 0
    while remaining.any():
        count += 1
        todo = [tuple(np.argwhere(remaining)[0])]
        while todo:
            y, x = todo.pop()
            if 0 <= y < remaining.shape[0] and 0 <= x < remaining.shape[1] and remaining[y, x]:
                remaining[y, x] = False
                todo += [(y + 1, x), (y - 1, x), (y, x + 1), (y, x - 1)]
    return count


def test_a_polygon_that_touches_no_other_mask_is_yielded_before_the_next_mask_is_read() -> None:
    masks = np.zeros((30, 30, 8, 8), np.uint8)
    masks[:, :, 2:5, 2:5] = 1
    loaded: list[int] = []
    count = 0
    for count, _ in enumerate(stream_features(grid_of_tiles(masks, loaded), ["house"]), 1):
        assert len(loaded) == count
    assert count == 900
