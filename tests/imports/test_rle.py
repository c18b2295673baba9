import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from gtseg.errors import MaskError
from gtseg.imports.rle import decode_rle, encode_rle

MASKS = arrays(np.bool_, st.tuples(st.integers(1, 12), st.integers(1, 12)))


@given(MASKS)
def test_encoded_masks_are_decoded_exactly(mask: np.ndarray) -> None:
    assert (decode_rle(encode_rle(mask)) == mask).all()


def test_a_compressed_string_is_decoded() -> None:
    """pycocotools' mask.encode of a 3 x 3 image with a set middle column returns the counts b'333'."""
    assert decode_rle({"size": [3, 3], "counts": "333"}).tolist() == [[False, True, False]] * 3


@pytest.mark.parametrize(
    "rle",
    [
        {"size": [2, 2], "counts": [1, 1]},
        {"size": [2, 2], "counts": [5, -1]},
        {"size": [9, 9], "counts": "o"},
    ],
)
def test_run_lengths_that_do_not_match_the_size_are_rejected(rle: dict) -> None:
    with pytest.raises(MaskError):
        decode_rle(rle)
