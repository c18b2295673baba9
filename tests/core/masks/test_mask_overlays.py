from __future__ import annotations

import numpy as np
from PIL import Image

from gtseg.core.masks import Classes, draw_overlay

CLASSES = Classes(("BACKGROUND", "cat"), (0xFFFFFF, 0x2CA02C))


def test_an_overlay_keeps_the_background_and_tints_classes() -> None:
    indices = np.zeros((6, 8), dtype=np.uint8)
    indices[:, 4:] = 1
    drawn = np.array(draw_overlay(Image.new("RGB", (8, 6), "black"), indices, CLASSES))
    assert (drawn[:, :4] == 0).all()
    assert drawn[2, 6].tolist() == [22, 80, 22]


def test_a_mask_of_another_size_is_scaled_without_new_classes() -> None:
    drawn = draw_overlay(Image.new("L", (20, 20)), np.array([[0, 1]], dtype=np.uint8), CLASSES, opacity=1)
    colors = {color for _, color in drawn.getcolors()}
    assert colors == {(0, 0, 0), (0x2C, 0xA0, 0x2C)}


def test_an_overlay_ignores_classes_beyond_the_table() -> None:
    drawn = draw_overlay(Image.new("RGB", (2, 1)), np.array([[0, 255]], dtype=np.uint8), CLASSES)
    assert np.array(drawn).sum() == 0
