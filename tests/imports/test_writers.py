import json
from pathlib import Path

import numpy as np
import pytest

from gtseg.imports.writers import FORMATS, Item

MASK = np.array([[0, 1], [2, 255]], np.uint8)


@pytest.mark.parametrize(
    ("form", "files"),
    [
        ("coco", {"annotations/train.json"}),
        ("yolo", {"data.yaml", "labels/train/a.txt"}),
        ("cvat", {"annotations.xml"}),
        (
            "masks",
            {
                "classes.json",
                "label_map/train_label_map.json",
                "label_map/validation_label_map.json",
                "labels.json",
                "masks/train/a.png",
            },
        ),
    ],
)
def test_a_writer_creates_the_files_of_its_format(tmp_path: Path, form: str, files: set[str]) -> None:
    writer = FORMATS[form](tmp_path, ("leaf", "stem"), polygons=False)
    writer.add(Item("a", ".jpg", MASK, "train"))
    writer.finish()
    assert {p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*") if p.is_file()} == files


def test_void_is_lost_in_yolo_and_a_crowd_category_in_coco(tmp_path: Path) -> None:
    yolo, coco = (FORMATS[form](tmp_path / form, ("leaf", "stem"), polygons=False) for form in ("yolo", "coco"))
    for writer in (yolo, coco):
        writer.add(Item("a", ".jpg", MASK))
        writer.finish()
    assert [(loss.unit, loss.count, loss.kind) for loss in yolo.losses] == [("pixel", 1, "lost")]
    assert coco.losses == []
    document = json.loads((tmp_path / "coco/annotations.json").read_text())
    assert [c["name"] for c in document["categories"]] == ["leaf", "stem", "void"]
    assert [a["iscrowd"] for a in document["annotations"]] == [0, 0, 1]
