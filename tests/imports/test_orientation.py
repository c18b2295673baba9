from pathlib import Path

import pytest
from coco_files import annotation, entry, import_coco, reasons, square, write_photo


@pytest.mark.parametrize("size", [{}, {"width": None, "height": None}])
@pytest.mark.parametrize("is_upright", [True, False])
def test_outlines_on_a_rotated_photograph_are_drawn_only_if_they_fit_the_upright_size_alone(
    tmp_path: Path, is_upright: bool, size: dict
) -> None:
    write_photo(tmp_path, "x.jpg", orientation=6)
    outline = square(5, 36) if is_upright else square(5, 5)  # below the stored height of 40, within the upright 60
    account, masks = import_coco(
        tmp_path, [entry(1, "x.jpg", **size)], [annotation(1, 1, segmentation=[outline])], photos=[]
    )
    assert masks == ({"x": 400} if is_upright else {})
    assert is_upright or "EXIF orientation 6" in reasons(account)


@pytest.mark.parametrize("orientation", [2, 3, 4])
def test_annotations_on_a_mirrored_photograph_are_ambiguous_and_skipped(tmp_path: Path, orientation: int) -> None:
    write_photo(tmp_path, "x.jpg", orientation=orientation)
    write_photo(tmp_path, "y.jpg")
    images = [entry(1, "x.jpg"), entry(2, "y.jpg")]
    account, masks = import_coco(tmp_path, images, [annotation(1, 1), annotation(2, 2)], photos=[])
    assert masks == {"y": 400}
    assert f"EXIF orientation {orientation}" in reasons(account)
    assert account.exit_code == 5
