from pathlib import Path

import numpy as np
from PIL import Image

from gtseg.imports.annotation_masks import draw
from gtseg.imports.yolo import read_yolo
from gtseg.imports.yolo_writer import data_yaml, to_yolo


def test_a_region_with_holes_is_divided_and_read_back_exactly(tmp_path: Path) -> None:
    mask = np.ones((10, 10), np.uint8)
    mask[3:5, 3:5] = 0
    mask[7, 7] = 0
    label = to_yolo(mask, 1)
    assert label.cut == label.lines > 1
    for folder in ("images", "labels"):
        (tmp_path / folder).mkdir()
    Image.new("RGB", (10, 10)).save(tmp_path / "images/a.png")
    (tmp_path / "labels/a.txt").write_text(label.text)
    (tmp_path / "data.yaml").write_text(data_yaml(["leaf"], {"train": "images"}))
    found = read_yolo(tmp_path)
    assert found.classes == ("leaf",)
    assert (draw(found.images[0], (10, 10))[0] == mask).all()
