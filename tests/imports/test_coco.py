import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from gtseg.errors import ManifestError, MaskError
from gtseg.imports.coco import MaskedImage, decode_rle, encode_rle, from_coco, read_coco, to_coco

MASKS = arrays(np.uint8, st.tuples(st.integers(1, 12), st.integers(1, 12)), elements=st.integers(0, 3))


@given(MASKS)
def test_run_lengths_come_back_exactly(mask: np.ndarray) -> None:
    assert (decode_rle(encode_rle(mask == 1)) == (mask == 1)).all()


@settings(deadline=None)
@given(MASKS, st.booleans())
def test_a_mask_goes_out_and_comes_back_exactly(mask: np.ndarray, polygons: bool) -> None:
    document = json.loads(
        json.dumps(to_coco([MaskedImage("a.jpg", mask)], ["x", "y", "z"], polygons=polygons))
    )
    images, classes = from_coco(document)
    assert classes == ("x", "y", "z")
    assert (images[0].mask == mask).all()
    assert sum(a["area"] for a in document["annotations"]) == (mask > 0).sum()


def test_a_compressed_string_is_read() -> None:
    """From pycocotools: mask.encode of a 3x3 image whose middle column is set gives counts b'333'."""
    assert decode_rle({"size": [3, 3], "counts": "333"}).tolist() == [[False, True, False]] * 3


def test_a_region_with_a_hole_stays_exact_and_is_counted() -> None:
    mask = np.ones((5, 5), np.uint8)
    mask[2, 2] = 0
    document = to_coco([MaskedImage("a", mask)], ["x"], polygons=True)
    assert document["info"]["with_holes"] == 1
    assert (from_coco(document)[0][0].mask == mask).all()


def test_crowds_become_void() -> None:
    document = to_coco([MaskedImage("a", np.array([[1, 0]], np.uint8))], ["x"])
    document["annotations"][0]["iscrowd"] = 1
    assert from_coco(document)[0][0].mask.tolist() == [[255, 0]]


@pytest.mark.parametrize(
    "rle",
    [
        {"size": [2, 2], "counts": [1, 1]},
        {"size": [2, 2], "counts": [5, -1]},
        {"size": [9, 9], "counts": "o"},
    ],
)
def test_run_lengths_that_do_not_add_up_are_refused(rle: dict) -> None:
    with pytest.raises(MaskError):
        decode_rle(rle)


def test_a_file_that_is_no_coco_says_what_it_lacks(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"images": []}')
    with pytest.raises(ManifestError, match="annotations, categories"):
        read_coco(tmp_path / "a.json")
