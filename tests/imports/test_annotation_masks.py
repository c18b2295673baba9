from pathlib import Path

import pytest
from coco_files import annotation, entry, import_coco, reasons, square

from gtseg.errors import MaskError
from gtseg.imports.annotation_masks import draw, shape_pixels
from gtseg.imports.annotations import AnnotatedImage, Shape
from gtseg.imports.rle import Runs

SQUARE = ((0.0, 0.0), (2.0, 0.0), (2.0, 2.0), (0.0, 2.0))
LARGE = ((0.0, 0.0), (3.0, 0.0), (3.0, 3.0), (0.0, 3.0))


def test_later_shapes_cover_earlier_ones() -> None:
    image = AnnotatedImage("a.jpg", (Shape("large", 1, (LARGE,)), Shape("square", 2, (SQUARE,))))
    mask, drawn, losses = draw(image, (3, 4))
    assert (drawn, losses) == (2, [])
    assert mask.tolist() == [[2, 2, 1, 0], [2, 2, 1, 0], [1, 1, 1, 0]]


def test_a_shape_below_another_class_is_lost_and_one_below_its_own_class_is_not() -> None:
    shapes = (Shape("lost", 1, (SQUARE,)), Shape("same", 2, (SQUARE,)), Shape("top", 2, (LARGE,)))
    _, drawn, losses = draw(AnnotatedImage("a.jpg", shapes), (3, 4))
    assert drawn == 2
    assert [(loss.example, loss.reason) for loss in losses] == [
        ("lost", "completely covered by annotations of other classes")
    ]


def test_relative_coordinates_are_fractions_of_the_image_size() -> None:
    half = ((0.0, 0.0), (0.5, 0.0), (0.5, 1.0), (0.0, 1.0))
    assert shape_pixels(Shape("half", 1, (half,)), (2, 4), relative=True).pixels.shape == (2, 2)


def test_run_lengths_of_another_size_are_rejected() -> None:
    with pytest.raises(MaskError, match="4x4 pixels; the image has 6x5"):
        shape_pixels(Shape("a", 1, runs=Runs((16,), 4, 4)), (5, 6))


def test_an_outline_inside_another_of_the_same_annotation_is_noted(tmp_path: Path) -> None:
    rings = [square(5, 5), square(10, 10, 5)]
    account, masks = import_coco(tmp_path, [entry(1, "x.jpg")], [annotation(1, 1, segmentation=rings)])
    assert masks == {"x": 400}
    assert "inside another" in reasons(account, "note")


@pytest.mark.parametrize("size", [{}, {"width": 0, "height": 0}, {"width": -1, "height": -1}])
def test_an_outline_that_is_mostly_outside_its_image_is_lost(tmp_path: Path, size: dict) -> None:
    image = {"id": 1, "file_name": "x.jpg", **size}
    outlines = [square(5, 5), square(51, 5), square(35, 25)]  # inside, 9 of 20 columns inside, 15 of 20 rows
    annotations = [annotation(i, 1, segmentation=[outline]) for i, outline in enumerate(outlines)]
    account, masks = import_coco(tmp_path, [image], annotations)
    assert masks == {"x": 400 + 20 * 15}
    assert "1 annotation: more than half of it is outside the image" in reasons(account)
    assert "annotation 1 on" in reasons(account)
