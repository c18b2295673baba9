from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gtseg.errors import MaskError
from gtseg.imports.mask_survey import check_palettes, survey_masks

LEAF = np.pad(np.full((15, 20), 1, np.uint8), ((5, 20), (10, 30)))


def save(path: Path, values: np.ndarray, palette: list[int] | None = None) -> Path:
    image = Image.fromarray(values.astype(np.uint8))
    if palette:
        image = image.convert("P")
        image.putpalette(palette + [0] * (768 - len(palette)))
    image.save(path)
    return path


def smoothed(values: np.ndarray) -> np.ndarray:
    image = Image.fromarray(values)
    return np.asarray(image.resize((30, 20), Image.Resampling.BILINEAR).resize((60, 40), Image.Resampling.BILINEAR))


def test_values_of_smoothed_edges_are_detected(tmp_path: Path) -> None:
    survey = survey_masks([save(tmp_path / "a.png", smoothed(LEAF * 255))])
    assert set(survey.counts) - set(survey.edges) == {0, 255}
    color = np.stack([LEAF * 200, LEAF * 0, LEAF * 90], -1)
    assert len(survey_masks([save(tmp_path / "b.png", smoothed(color))]).edges) > 4


def test_many_classes_with_interior_pixels_are_not_edges(tmp_path: Path) -> None:
    blocks = np.repeat(np.repeat(np.arange(16).reshape(4, 4), 8, 0), 8, 1)
    assert survey_masks([save(tmp_path / "a.png", blocks)]).edges == ()


def test_contradicting_palettes_are_rejected_with_two_examples(tmp_path: Path) -> None:
    red, blue = [0, 0, 0, 255, 0, 0], [0, 0, 0, 0, 0, 255]
    paths = [save(tmp_path / f"{i}.png", LEAF, palette) for i, palette in enumerate((red, red, blue))]
    with pytest.raises(MaskError, match=r"index 1 is #ff0000 in .*0\.png and #0000ff in .*2\.png"):
        survey_masks(paths)
    assert survey_masks(paths, by_index=True).counts[1] == 900
    assert set(survey_masks(paths, by_index=False).counts) == {0, 0xFF0000, 0x0000FF}
    check_palettes(paths[:2])


def test_palettes_may_differ_in_unused_indices(tmp_path: Path) -> None:
    paths = [save(tmp_path / f"{i}.png", LEAF, [0, 0, 0, 9, 9, 9, i, i, i]) for i in (1, 2)]
    assert survey_masks(paths).by_index


def test_palette_masks_are_read_by_color_among_color_masks_and_gray_masks_are_rejected(tmp_path: Path) -> None:
    color = save(tmp_path / "c.png", np.stack([LEAF * 255, LEAF * 0, LEAF * 0], -1))
    palette = save(tmp_path / "p.png", LEAF, [0, 0, 0, 255, 0, 0])
    survey = survey_masks([color, palette])
    assert (survey.by_index, survey.counts[0xFF0000]) == (False, 600)
    with pytest.raises(MaskError, match="Import them separately"):
        survey_masks([color, save(tmp_path / "g.png", LEAF)])


def test_masks_of_0_and_255_among_masks_of_0_and_1_are_rejected_unless_a_file_has_all_three(tmp_path: Path) -> None:
    paths = [save(tmp_path / "a.png", LEAF * 255), save(tmp_path / "b.png", LEAF)]
    with pytest.raises(MaskError, match="--void 255"):
        survey_masks(paths).require_one_convention()
    both = LEAF.copy()
    both[0] = 255
    survey_masks([*paths, save(tmp_path / "c.png", both)]).require_one_convention()
