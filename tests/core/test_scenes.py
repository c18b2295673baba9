from __future__ import annotations

import io

import numpy as np
from PIL import Image

from gtseg.core.images.scenes import LABELS, draw_scene
from gtseg.core.images.scenes.drawing import SIZES


def test_a_scene_is_determined_by_its_number() -> None:
    one, again, other = draw_scene(3), draw_scene(3), draw_scene(4)
    assert (one.pixels == again.pixels).all()
    assert (one.mask == again.mask).all()
    assert one.mask.shape != other.mask.shape or (one.mask != other.mask).any()


def test_masks_have_the_images_size_and_both_classes_occur() -> None:
    scenes = [draw_scene(number) for number in range(8)]
    for scene in scenes:
        assert scene.pixels.shape == (*scene.mask.shape, 3)
        assert scene.mask.shape in SIZES
    values = {int(value) for scene in scenes for value in np.unique(scene.mask)}
    assert values == set(range(len(LABELS) + 1))


def test_the_mask_file_is_an_indexed_png_and_the_image_a_jpeg() -> None:
    scene = draw_scene(1)
    image = Image.open(io.BytesIO(scene.png()))
    assert image.mode == "P"
    assert (np.asarray(image) == scene.mask).all()
    assert Image.open(io.BytesIO(scene.jpeg())).size == image.size


def test_objects_contrast_with_their_surroundings() -> None:
    """Colors change more across the mask's outline than within it."""
    scene = draw_scene(0)
    grey = scene.pixels.mean(-1)
    steps, crossing = np.abs(np.diff(grey, axis=1)), scene.mask[:, 1:] != scene.mask[:, :-1]
    assert steps[crossing].mean() > 2 * steps[~crossing].mean()
