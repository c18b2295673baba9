import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gtseg.errors import MaskError, StageError
from gtseg.imports.color_tables import parse_table, propose_table
from gtseg.imports.mask_folder import import_masks
from gtseg.imports.mask_pairs import find_pairs
from gtseg.imports.mask_survey import survey_masks
from gtseg.imports.outcomes import Skipped

TABLE = parse_table({"background": 0, "cat": 1}, by_index=True)


def photo(path: Path, size: tuple[int, int] = (8, 6), **more: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, "teal").save(path, **more)
    return path


def mask(path: Path, values: list[list[int]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.array(values, np.uint8)).save(path)
    return path


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    return tmp_path / "images", tmp_path / "masks"


def test_the_bytes_of_a_jpeg_and_the_pixels_of_a_mask_are_unchanged(folders: tuple[Path, Path], tmp_path: Path) -> None:
    images, masks = folders
    source = photo(images / "a.jpg", (2, 2))
    mask(masks / "a.png", [[0, 1], [255, 1]])
    mask_table = parse_table({"background": 0, "cat": 1, "void": 255}, by_index=True)
    report = import_masks(find_pairs(images, masks), tmp_path / "out", mask_table, name="m", workers=1)
    assert (tmp_path / "out/images/a.jpg").read_bytes() == source.read_bytes()
    assert np.asarray(Image.open(tmp_path / "out/masks/a.png")).tolist() == [[0, 1], [2, 1]]
    assert report.pixels == {"BACKGROUND": 1, "cat": 2, "void": 1}


def test_pairs_are_found_by_path_or_stem_and_other_files_are_reported(folders: tuple[Path, Path]) -> None:
    images, masks = folders
    for name in ("x/a.jpg", "y/a.jpg", "b.png", "lonely.jpg"):
        photo(images / name)
    for name in ("x/a.png", "y/a.png", "deep/b.png", "orphan.png"):
        mask(masks / name, [[0]])
    found = find_pairs(images, masks)
    assert {p.name for p in found.pairs} == {"x-a", "y-a", "b"}
    assert (found.images, found.masks) == (4, 4)
    left = [(s.unit, Path(s.source).name) for s in found.losses if isinstance(s, Skipped)]
    assert left == [("image", "lonely.jpg"), ("mask", "orphan.png")]


def test_images_with_equal_names_get_different_names_in_the_import(folders: tuple[Path, Path]) -> None:
    images, masks = folders
    for name in ("a.jpg", "a.png", "A.jpeg"):
        photo(images / name)
    mask(masks / "a.png", [[0]])
    mask(masks / "sub" / "A.png", [[0]])
    names = [p.name.lower() for p in find_pairs(images, masks).pairs]
    assert len(names) == len(set(names)) == 3


def test_mask_files_per_label_are_combined(folders: tuple[Path, Path], tmp_path: Path) -> None:
    images, masks = folders
    photo(images / "a.jpg", (2, 1))
    mask(masks / "cat" / "a.png", [[255, 0]])
    mask(masks / "dog" / "a.png", [[0, 255]])
    pairs = find_pairs(images, masks, labels=["cat", "dog"])
    table = parse_table({"background": 0, "cat": 1, "dog": 2}, by_index=True)
    import_masks(pairs, tmp_path / "out", table, name="m", workers=1)
    assert np.asarray(Image.open(tmp_path / "out/masks/a.png")).tolist() == [[1, 2]]


def test_covered_pixels_are_lost_and_labels_without_a_file_are_noted(
    folders: tuple[Path, Path], tmp_path: Path
) -> None:
    images, masks = folders
    for name in "ab":
        photo(images / f"{name}.jpg", (3, 1))
    mask(masks / "cat" / "a.png", [[255, 255, 0]])
    mask(masks / "dog" / "a.png", [[0, 255, 255]])
    mask(masks / "cat" / "b.png", [[255, 0, 0]])
    mask(masks / "dog" / "b.png", [[255, 0, 0]])
    (masks / "fox").mkdir()
    mask(masks / "fox" / "a.png", [[0, 0, 0]])
    pairs = find_pairs(images, masks, labels=["cat", "dog", "fox"])
    table = parse_table({"background": 0, "cat": 1, "dog": 2, "fox": 3}, by_index=True)
    account = import_masks(pairs, tmp_path / "out", table, name="m", workers=1).account
    losses = {(loss.unit, loss.kind, loss.count, loss.reason) for loss in account.losses if loss.unit != "class"}
    order = "covered by 'dog', later in the order of labels"
    assert losses == {
        ("pixel", "lost", 1, f"label 'cat', partly {order}"),
        ("pixel", "lost", 1, f"label 'cat', completely {order}"),
        ("image", "note", 1, "no file of the label 'fox', so no pixel has it"),
    }
    assert account.exit_code == 5


def test_the_mask_of_a_mirrored_photograph_is_ambiguous_and_skipped(folders: tuple[Path, Path], tmp_path: Path) -> None:
    images, masks = folders
    exif = Image.Exif()
    exif[0x0112] = 3
    photo(images / "a.jpg", (3, 1), exif=exif)
    mask(masks / "a.png", [[1, 0, 0]])
    table = parse_table({"background": 0, "cat": 1}, by_index=True)
    report = import_masks(find_pairs(images, masks), tmp_path / "out", table, name="m", workers=1)
    assert "EXIF orientation 3" in report.skipped[0].reason


def test_a_mask_whose_size_differs_from_its_image_is_skipped(folders: tuple[Path, Path], tmp_path: Path) -> None:
    images, masks = folders
    photo(images / "a.jpg", (3, 3))
    mask(masks / "a.png", [[0]])
    report = import_masks(find_pairs(images, masks), tmp_path / "out", TABLE, name="m", workers=1)
    assert report.images == 0
    assert "1x1 pixels, its image has 3x3" in report.skipped[0].reason


@pytest.mark.parametrize(
    "make",
    [
        lambda i, m: None,
        lambda i, m: photo(i / "a.jpg"),
        lambda i, m: (photo(i / "a.jpg"), mask(m / "b.png", [[0]])),
    ],
)
def test_folders_without_a_pair_are_an_error(folders: tuple[Path, Path], make) -> None:
    make(*folders)
    with pytest.raises(StageError):
        find_pairs(*folders)


def test_a_table_is_proposed_from_a_survey(folders: tuple[Path, Path]) -> None:
    _, masks = folders
    survey = survey_masks([mask(masks / "a.png", [[0, 3], [3, 0]])])
    assert propose_table(survey.counts, by_index=True) == {"background": 0, "class-3": 3}
    assert survey.counts == {0: 2, 3: 2}


def test_the_manifest_has_ground_truths_format(folders: tuple[Path, Path], tmp_path: Path) -> None:
    images, masks = folders
    photo(images / "a b.jpg", (1, 1))
    mask(masks / "a b.png", [[1]])
    import_masks(find_pairs(images, masks), tmp_path / "out", TABLE, name="My-Import", workers=1)
    line = json.loads((tmp_path / "out/output.manifest").read_text())
    assert line["source-ref"] == "images/a b.jpg"
    assert line["My-Import-ref"] == "masks/a b.png"
    assert line["My-Import-ref-metadata"]["job-name"] == "labeling-job/my-import"
    assert line["My-Import-ref-metadata"]["internal-color-map"]["1"]["hex-color"] == "#2ca02c"


def test_a_survey_ignores_an_unreadable_mask_among_others(folders: tuple[Path, Path]) -> None:
    _, masks = folders
    for name in ("a", "b"):
        mask(masks / f"{name}.png", [[0, 3]])
    (masks / "a.png").write_bytes(b"y")
    assert survey_masks([masks / "a.png", masks / "b.png"]).counts == {0: 1, 3: 1}
    with pytest.raises(MaskError, match=r"a\.png: not a readable mask: no image"):
        survey_masks([masks / "a.png"])
