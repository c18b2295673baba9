from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gtseg.core.hosting.tiles import join_masks, join_probabilities, plan_tiles
from gtseg.errors import SettingsError

PLANS = st.tuples(st.integers(1, 90), st.integers(1, 90), st.integers(2, 40)).flatmap(
    lambda t: st.tuples(*map(st.just, t), st.integers(0, t[2] // 2))
)


@given(PLANS)
def test_tiles_cover_every_pixel_and_share_the_overlap(plan) -> None:
    height, width, size, overlap = plan
    tiles = plan_tiles(height, width, size=size, overlap=overlap)
    seen = np.zeros((height, width), int)
    for tile in tiles:
        seen[tile.window] += 1
        assert tile.bottom - tile.top <= size
    assert (seen > 0).all()
    starts = sorted({tile.left for tile in tiles})
    assert all(b <= a + size - overlap for a, b in itertools.pairwise(starts))


@given(PLANS)
def test_the_tiles_of_a_mask_join_to_the_mask(plan) -> None:
    height, width, size, overlap = plan
    mask = np.random.default_rng(0).integers(0, 9, (height, width), dtype=np.uint8)
    tiles = plan_tiles(height, width, size=size, overlap=overlap)
    assert (join_masks(((t, mask[t.window]) for t in tiles), height, width) == mask).all()
    values = np.stack([mask, mask]).astype(np.float32)
    joined = join_probabilities(((t, values[(slice(None), *t.window)]) for t in tiles), height, width)
    np.testing.assert_allclose(joined, values, rtol=1e-5)


def test_in_the_overlap_the_deeper_tile_decides() -> None:
    tiles = plan_tiles(4, 12, size=8, overlap=4)
    parts = [(tile, np.full((4, 8), index, np.uint8)) for index, tile in enumerate(tiles)]
    assert join_masks(parts, 4, 12)[0].tolist() == [0] * 6 + [1] * 6


def test_an_overlap_as_large_as_the_tile_is_refused() -> None:
    with pytest.raises(SettingsError, match="tile_overlap = 30"):
        plan_tiles(100, 100, size=40, overlap=30)
