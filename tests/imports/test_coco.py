import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from gtseg.errors import ManifestError, MaskError
from gtseg.imports.annotations import draw
from gtseg.imports.coco import MaskedImage, parse_coco, read_coco, to_coco
from gtseg.imports.rle import decode_rle, encode_rle


def from_coco(document: dict) -> tuple[list[np.ndarray], tuple[str, ...]]:
    found = parse_coco(document, "a.json")
    return [draw(image, image.size)[0] for image in found.images if image.size], found.classes


MASKS = arrays(np.uint8, st.tuples(st.integers(1, 12), st.integers(1, 12)), elements=st.integers(0, 3))


@given(MASKS)
def test_run_lengths_come_back_exactly(mask: np.ndarray) -> None:
    assert (decode_rle(encode_rle(mask == 1)) == (mask == 1)).all()


@settings(deadline=None)
@given(MASKS, st.booleans())
def test_a_mask_goes_out_and_comes_back_exactly(mask: np.ndarray, polygons: bool) -> None:
    document = json.loads(json.dumps(to_coco([MaskedImage("a.jpg", mask)], ["x", "y", "z"], polygons=polygons)))
    images, classes = from_coco(document)
    assert classes == ("x", "y", "z")
    assert (images[0] == mask).all()
    assert sum(a["area"] for a in document["annotations"]) == (mask > 0).sum()


def test_a_compressed_string_is_read() -> None:
    """From pycocotools: mask.encode of a 3x3 image whose middle column is set gives counts b'333'."""
    assert decode_rle({"size": [3, 3], "counts": "333"}).tolist() == [[False, True, False]] * 3


def test_a_region_with_a_hole_stays_exact_and_is_counted() -> None:
    mask = np.ones((5, 5), np.uint8)
    mask[2, 2] = 0
    document = to_coco([MaskedImage("a", mask)], ["x"], polygons=True)
    assert document["info"]["with_holes"] == 1
    assert (from_coco(document)[0][0] == mask).all()


@pytest.mark.parametrize(
    ("crowds", "other_things", "value"),
    [("auto", True, 255), ("auto", False, 1), ("class", True, 1), ("void", False, 255)],
)
def test_crowds_are_void_only_beside_things_that_are_none(crowds: str, other_things: bool, value: int) -> None:
    document = to_coco(
        [MaskedImage("a", np.array([[1, 0]], np.uint8)), MaskedImage("b", np.array([[1]], np.uint8))], ["x"]
    )
    document["annotations"][0]["iscrowd"] = 1
    document["annotations"][1]["iscrowd"] = int(not other_things)
    found = parse_coco(document, "a.json", crowds=crowds)
    assert draw(found.images[0], (1, 2))[0].tolist() == [[value, 0]]
    assert found.losses[0].kind == "note"
    assert "iscrowd" in found.losses[0].reason


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
