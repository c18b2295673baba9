import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from rasterio.features import rasterize

from gtseg.imports.regions import outlines, pieces, ring_area

REGIONS = arrays(np.bool_, st.tuples(st.integers(1, 10), st.integers(1, 10)))


@settings(deadline=None)
@given(REGIONS)
def test_the_union_of_pieces_without_holes_is_the_region(region: np.ndarray) -> None:
    union = np.zeros_like(region)
    for piece in pieces(region) if region.any() else []:
        polygon = {"type": "Polygon", "coordinates": [piece.ring]}
        union |= rasterize([polygon], out_shape=region.shape).astype(bool)
    assert (union == region).all()


def test_a_region_with_a_hole_has_two_rings() -> None:
    region = np.ones((3, 3), bool)
    region[1, 1] = False
    (rings,) = outlines(region)
    assert [ring_area(ring) for ring in rings] == [9, 1]
    assert all(piece.cut for piece in pieces(region))
