from pathlib import PurePath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gtseg.errors import ManifestError
from gtseg.imports.slippy import Tile, parse_tile, tiles_within


def test_the_bounds_of_a_tile_equal_those_in_the_wiki() -> None:
    """OpenStreetMap wiki: tile 6/32/22 begins at longitude 0, latitude 48.9225 (UL) and ends at 5.625, 45.0890."""
    west, south, east, north = Tile(6, 32, 22).bounds()
    assert (west, east) == (0.0, 5.625)
    assert (round(south, 3), round(north, 3)) == (45.089, 48.922)


@given(st.integers(0, 20), st.data())
def test_the_only_tile_within_the_middle_of_a_tile_is_that_tile(z: int, data: st.DataObject) -> None:
    tile = Tile(z, data.draw(st.integers(0, 2**z - 1)), data.draw(st.integers(0, 2**z - 1)))
    west, south, east, north = tile.bounds()
    inside = (
        west + (east - west) * 0.3,
        south + (north - south) * 0.3,
        east - (east - west) * 0.3,
        north - (north - south) * 0.3,
    )
    assert list(tiles_within(inside, z)) == [tile]


def test_tile_names_of_label_maker_and_robosat_are_parsed() -> None:
    assert parse_tile(PurePath("a/18/69623/104946.webp")) == Tile(18, 69623, 104946)
    assert parse_tile(PurePath("62092-50163-17.jpg")) == Tile(17, 62092, 50163)


@pytest.mark.parametrize("name", ["photo.jpg", "1/2.png", "9-9-1.png", "a/b/c.png", "1-2-x.png"])
def test_other_names_are_not_tiles(name: str) -> None:
    assert parse_tile(PurePath(name)) is None


def test_an_inverted_box_is_rejected() -> None:
    with pytest.raises(ManifestError, match="west < east"):
        list(tiles_within((5, 0, 1, 2), 3))


def test_neighboring_tiles_share_a_block() -> None:
    assert Tile(5, 4, 6).block(2) == Tile(5, 5, 7).block(2) != Tile(5, 6, 6).block(2)
