from pathlib import Path

import pytest
from PIL import Image

from gtseg.errors import ManifestError, SettingsError
from gtseg.imports.annotation_masks import draw
from gtseg.imports.yolo import read_yolo


def data_set(folder: Path, text: str, *, names: str = "names: [leaf, stem]\n") -> Path:
    (folder / "train/images").mkdir(parents=True)
    (folder / "train/labels").mkdir()
    Image.new("RGB", (10, 10)).save(folder / "train/images/a.png")
    (folder / "train/labels/a.txt").write_text(text)
    if names:
        (folder / "data.yaml").write_text(names)
    return folder


def test_every_line_is_a_shape_or_a_loss_with_its_line_number(tmp_path: Path) -> None:
    lines = [
        "0 0.1 0.1 0.5 0.1 0.5 0.5",
        "1 0.5 0.5 0.2 0.2",
        "7 0.1 0.1 0.5 0.1 0.5 0.5",
        "0 10 10 50 10 50 50",
        "0 0.1 0.1 0.5 0.1",
        "x 0.1 0.1 0.5 0.1 0.5 0.5",
        "0 0.1 0.1 0.5 0.1 0.5",
    ]
    found = read_yolo(data_set(tmp_path, "\n".join(lines)))
    assert (found.total, len(found.images[0].shapes)) == (7, 1)
    assert sum(loss.count for loss in found.losses) == 6
    assert any("bounding box" in loss.reason and "line 2 of" in loss.example for loss in found.losses)
    assert any("coordinates outside 0 to 1" in loss.reason for loss in found.losses)


def test_smaller_polygons_cover_larger_ones(tmp_path: Path) -> None:
    found = read_yolo(data_set(tmp_path, "1 0.4 0.4 0.6 0.4 0.6 0.6 0.4 0.6\n0 0 0 1 0 1 1 0 1\n"))
    mask = draw(found.images[0], (10, 10))[0]
    assert mask[5, 5] == 2
    assert mask[0, 0] == 1


def test_an_image_without_a_label_file_is_background_and_labels_without_an_image_are_lost(tmp_path: Path) -> None:
    folder = data_set(tmp_path, "0 0 0 1 0 1 1 0 1\n", names="names:\n  0: leaf\n  1: stem\n")
    Image.new("RGB", (10, 10)).save(folder / "train/images/b.png")
    (folder / "train/labels/gone.txt").write_text("0 0 0 1 0 1 1 0 1\n")
    found = read_yolo(folder)
    assert {loss.unit: loss.kind for loss in found.losses} == {
        "image": "note",
        "label file": "lost",
        "annotation": "lost",
    }
    assert found.total == 2


@pytest.mark.parametrize("names", ["", "names: {0: a, 5: b}\n", "nc: 2\n", "names: ["])
def test_missing_or_invalid_class_names_are_an_error(tmp_path: Path, names: str) -> None:
    with pytest.raises((SettingsError, ManifestError)):
        read_yolo(data_set(tmp_path, "", names=names))


SQUARE = "0 0 0 1 0 1 1 0 1\n"


def picture(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (10, 10)).save(path)
    return path


@pytest.mark.parametrize("stem", ["train", "val", "test", "notes", "classes"])
def test_a_label_file_may_have_the_name_of_a_file_list_if_its_image_has_it(tmp_path: Path, stem: str) -> None:
    folder = data_set(tmp_path, SQUARE)
    picture(folder / f"train/images/{stem}.png")
    (folder / f"train/labels/{stem}.txt").write_text(SQUARE)
    (folder / f"{stem}.txt").write_text("a list of images\n")
    found = read_yolo(folder)
    assert [len(image.shapes) for image in found.images] == [1, 1]
    assert (found.total, found.losses) == (2, ())


def test_exact_names_are_paired_before_names_in_another_case(tmp_path: Path) -> None:
    folder = data_set(tmp_path, SQUARE)
    picture(folder / "train/images/A.png")
    (folder / "train/labels/A.txt").write_text(SQUARE + SQUARE)
    picture(folder / "train/images/b.png")
    (folder / "train/labels/B.txt").write_text(SQUARE * 3)
    found = read_yolo(folder)
    assert {image.file_name[-5:-4]: len(image.shapes) for image in found.images} == {"a": 1, "A": 2, "b": 3}


def test_an_image_with_two_matching_label_files_is_ambiguous(tmp_path: Path) -> None:
    folder = data_set(tmp_path, SQUARE)
    picture(folder / "train/images/c.png")
    for place in ("x", "y"):
        (folder / place).mkdir()
        (folder / place / "c.txt").write_text(SQUARE)
    found = {image.file_name: image.problem for image in read_yolo(folder).images}
    assert "2 label files match it" in found["train/images/c.png"]
    assert found["train/images/a.png"] == ""


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("names: [leaf]\nkpt_shape: [5, 2]\n", "kpt_shape"),
        ("names: [leaf, stem]\nnc: 3\n", "nc is 3"),
        ("names: {0: leaf, 0: stem}\n", "'0' is repeated"),
        ("names: [leaf]\nnames: [stem]\n", "'names' is repeated"),
        ("names: [yes, no]\n", "True"),
        ("names: {0: null}\n", "None"),
    ],
)
def test_an_invalid_data_yaml_is_rejected_with_the_reason(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ManifestError, match=message):
        read_yolo(data_set(tmp_path, SQUARE, names=text))


def test_an_image_without_a_valid_line_is_not_imported_as_background(tmp_path: Path) -> None:
    found = read_yolo(data_set(tmp_path, "0 0.5 0.5 0.2 0.2\n"))
    assert "not imported as background" in found.images[0].problem
