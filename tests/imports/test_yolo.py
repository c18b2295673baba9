import numpy as np

from gtseg.imports.yolo import from_yolo, to_yolo


def test_regions_without_holes_come_back_exactly() -> None:
    mask = np.zeros((30, 40), np.uint8)
    mask[3:9, 4:20] = 1
    mask[5:7, 20:25] = 1
    mask[12:20, 5:9] = 2
    label = to_yolo(mask, 2)
    assert label.holes == 0
    assert (from_yolo(label.text, mask.shape) == mask).all()


def test_a_hole_is_filled_and_counted() -> None:
    mask = np.ones((6, 6), np.uint8)
    mask[2:4, 2:4] = 0
    label = to_yolo(mask, 1)
    assert label.holes == 1
    assert from_yolo(label.text, mask.shape).all()


def test_an_empty_mask_is_an_empty_file() -> None:
    assert to_yolo(np.zeros((3, 3), np.uint8), 2).text == ""
    assert not from_yolo("", (3, 3)).any()
