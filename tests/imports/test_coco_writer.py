import json

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from gtseg.imports.annotation_masks import draw
from gtseg.imports.coco import parse_coco
from gtseg.imports.coco_writer import MaskedImage, to_coco

MASKS = arrays(np.uint8, st.tuples(st.integers(1, 12), st.integers(1, 12)), elements=st.integers(0, 3))


def draw_all(document: dict) -> tuple[list[np.ndarray], tuple[str, ...]]:
    """Return the masks and the classes of a document."""
    found = parse_coco(document, "a.json")
    return [draw(image, image.size)[0] for image in found.images if image.size], found.classes


@settings(deadline=None)
@given(MASKS, st.booleans())
def test_a_written_mask_is_read_back_exactly(mask: np.ndarray, polygons: bool) -> None:
    document = json.loads(json.dumps(to_coco([MaskedImage("a.jpg", mask)], ["x", "y", "z"], polygons=polygons)))
    images, classes = draw_all(document)
    assert classes == ("x", "y", "z")
    assert (images[0] == mask).all()
    assert sum(a["area"] for a in document["annotations"]) == (mask > 0).sum()


def test_a_region_with_a_hole_is_written_as_run_lengths_and_counted() -> None:
    mask = np.ones((5, 5), np.uint8)
    mask[2, 2] = 0
    document = to_coco([MaskedImage("a", mask)], ["x"], polygons=True)
    assert document["info"]["with_holes"] == 1
    assert (draw_all(document)[0][0] == mask).all()
