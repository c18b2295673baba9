from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gtseg.errors import StageError
from gtseg.imports.mask_pairs import Pairs, find_pairs


def put(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.zeros((2, 2), np.uint8)).save(path)


def named(found: Pairs, folder: Path) -> dict[str, str]:
    return {p.image.relative_to(folder).as_posix(): p.masks[0][1].relative_to(folder).as_posix() for p in found.pairs}


def test_images_and_masks_in_one_folder_are_paired(tmp_path: Path) -> None:
    put(tmp_path, "0.jpg", "0.png", "1.jpg", "1.png", "scan.tif", "scan.png", "p.png", "p_mask.png")
    found = find_pairs(tmp_path, tmp_path)
    assert named(found, tmp_path) == {
        "0.jpg": "0.png",
        "1.jpg": "1.png",
        "scan.tif": "scan.png",
        "p.png": "p_mask.png",
    }
    assert (found.images, found.masks, found.losses) == (4, 4, ())


@pytest.mark.parametrize(
    "name", ["frame0_mask.png", "FRAME0-Mask.png", "frame0_labelIds.png", "frame0.jpg.png", "Frame0.PNG"]
)
def test_common_suffixes_and_any_case_are_paired(tmp_path: Path, name: str) -> None:
    put(tmp_path, "photos/frame0.jpg", f"masks/{name}")
    assert len(find_pairs(tmp_path / "photos", tmp_path / "masks").pairs) == 1


def test_an_uncommon_suffix_is_an_error_with_example_names_unless_it_is_given(tmp_path: Path) -> None:
    put(tmp_path, "photos/a.jpg", "masks/a-Truth.png")
    with pytest.raises(StageError, match=r"a\.jpg.*a-Truth\.png"):
        find_pairs(tmp_path / "photos", tmp_path / "masks")
    assert len(find_pairs(tmp_path / "photos", tmp_path / "masks", suffix="-truth").pairs) == 1


def test_files_of_a_nested_folder_are_not_files_of_the_outer_one(tmp_path: Path) -> None:
    put(tmp_path, "t/a.png", "t/masks/a.png")
    assert named(find_pairs(tmp_path / "t", tmp_path / "t/masks"), tmp_path) == {"t/a.png": "t/masks/a.png"}
    assert named(find_pairs(tmp_path / "t/masks", tmp_path / "t"), tmp_path) == {"t/masks/a.png": "t/a.png"}


def test_images_are_paired_by_stem_only_if_it_is_unique(tmp_path: Path) -> None:
    put(tmp_path, "photos/a/0.jpg", "photos/b/0.jpg", "photos/1.jpg", "masks/0.png", "masks/deep/1.png")
    found = find_pairs(tmp_path / "photos", tmp_path / "masks")
    assert [pair.name for pair in found.pairs] == ["1"]
    assert sum("has its stem, but so do other images" in str(loss) for loss in found.losses) == 2


def test_an_image_with_two_matching_masks_is_ambiguous(tmp_path: Path) -> None:
    put(tmp_path, "photos/a.jpg", "photos/b.jpg", "masks/a_mask.png", "masks/a_label.png", "masks/b.png")
    found = find_pairs(tmp_path / "photos", tmp_path / "masks")
    assert [pair.name for pair in found.pairs] == ["b"]
    assert any("2 masks match it" in str(loss) for loss in found.losses)


def test_hidden_files_are_ignored_and_jpeg_masks_are_lost(tmp_path: Path) -> None:
    put(tmp_path, "photos/a.jpg", "photos/b.jpg", "masks/a.png", "masks/b.jpg")
    for name in ("photos/._a.jpg", "masks/._a.png"):
        (tmp_path / name).write_bytes(b"Mac")
    found = find_pairs(tmp_path / "photos", tmp_path / "masks")
    assert (found.images, found.masks, len(found.pairs)) == (2, 2, 1)
    assert any("compression changes mask values" in str(loss) for loss in found.losses)
