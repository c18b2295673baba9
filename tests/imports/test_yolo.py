from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gtseg.errors import ManifestError, SettingsError
from gtseg.imports.annotations import draw
from gtseg.imports.yolo import read_yolo, to_yolo


def data_set(folder: Path, text: str, *, names: str = "names: [leaf, stem]\n") -> Path:
    (folder / "train/images").mkdir(parents=True)
    (folder / "train/labels").mkdir()
    Image.new("RGB", (10, 10)).save(folder / "train/images/a.png")
    (folder / "train/labels/a.txt").write_text(text)
    if names:
        (folder / "data.yaml").write_text(names)
    return folder


def test_a_region_with_a_hole_is_cut_and_comes_back_whole(tmp_path: Path) -> None:
    mask = np.ones((10, 10), np.uint8)
    mask[3:5, 3:5] = 0
    mask[7, 7] = 0
    label = to_yolo(mask, 1)
    assert label.cut == label.lines > 1
    found = read_yolo(data_set(tmp_path, label.text))
    assert (draw(found.images[0], (10, 10))[0] == mask).all()


def test_every_line_is_a_shape_or_a_loss_by_its_number(tmp_path: Path) -> None:
    lines = ["0 0.1 0.1 0.5 0.1 0.5 0.5", "1 0.5 0.5 0.2 0.2", "7 0.1 0.1 0.5 0.1 0.5 0.5", "0 10 10 50 10 50 50",
             "0 0.1 0.1 0.5 0.1", "x 0.1 0.1 0.5 0.1 0.5 0.5", "0 0.1 0.1 0.5 0.1 0.5"]  # fmt: skip
    found = read_yolo(data_set(tmp_path, "\n".join(lines)))
    assert (found.came, len(found.images[0].shapes)) == (7, 1)
    assert sum(loss.count for loss in found.losses) == 6
    assert any("a box" in loss.reason and "line 2 of" in loss.example for loss in found.losses)
    assert any("0..1" in loss.reason for loss in found.losses)


def test_the_larger_outline_lies_below(tmp_path: Path) -> None:
    found = read_yolo(data_set(tmp_path, "1 0.4 0.4 0.6 0.4 0.6 0.6 0.4 0.6\n0 0 0 1 0 1 1 0 1\n"))
    mask = draw(found.images[0], (10, 10))[0]
    assert mask[5, 5] == 2
    assert mask[0, 0] == 1


def test_an_image_without_labels_is_background_and_a_label_without_image_is_lost(tmp_path: Path) -> None:
    folder = data_set(tmp_path, "0 0 0 1 0 1 1 0 1\n", names="names:\n  0: leaf\n  1: stem\n")
    Image.new("RGB", (10, 10)).save(folder / "train/images/b.png")
    (folder / "train/labels/gone.txt").write_text("0 0 0 1 0 1 1 0 1\n")
    found = read_yolo(folder)
    assert {loss.unit: loss.kind for loss in found.losses} == {
        "image": "note",
        "label file": "lost",
        "annotation": "lost",
    }
    assert found.came == 2


@pytest.mark.parametrize("names", ["", "names: {0: a, 5: b}\n", "nc: 2\n", "names: ["])
def test_without_names_the_way_out_is_told(tmp_path: Path, names: str) -> None:
    with pytest.raises((SettingsError, ManifestError)):
        read_yolo(data_set(tmp_path, "", names=names))
