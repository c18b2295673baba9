from pathlib import Path
from typing import Any

import numpy as np
import pytest
from coco_files import LEAF, annotation, entry, import_coco, reasons, square

from gtseg.core.labeling.class_names import LookalikeNames
from gtseg.errors import ManifestError
from gtseg.imports.annotation_masks import draw
from gtseg.imports.coco import parse_coco, read_coco
from gtseg.imports.coco_writer import MaskedImage, to_coco


def test_ids_of_different_types_are_equal(tmp_path: Path) -> None:
    account, masks = import_coco(tmp_path, [entry("1", "x.jpg")], [annotation(1, 1, category_id=1.0)])
    assert (masks, account.exit_code) == ({"x": 400}, 0)


@pytest.mark.parametrize("segmentation", [square(5, 5), [square(5, 5)], [[[5, 5], [25, 5], [25, 25], [5, 25]]]])
def test_a_polygon_may_be_flat_nested_or_of_pairs(tmp_path: Path, segmentation: list) -> None:
    assert import_coco(tmp_path, [entry(1, "x.jpg")], [annotation(1, 1, segmentation=segmentation)])[1] == {"x": 400}


@pytest.mark.parametrize(
    ("crowds", "has_objects", "value"),
    [("auto", True, 255), ("auto", False, 1), ("class", True, 1), ("void", False, 255)],
)
def test_crowds_are_void_by_default_only_in_a_category_with_objects(crowds: Any, has_objects: bool, value: int) -> None:
    document = to_coco(
        [MaskedImage("a", np.array([[1, 0]], np.uint8)), MaskedImage("b", np.array([[1]], np.uint8))], ["x"]
    )
    document["annotations"][0]["iscrowd"] = 1
    document["annotations"][1]["iscrowd"] = int(not has_objects)
    found = parse_coco(document, "a.json", crowds=crowds)
    assert draw(found.images[0], (1, 2))[0].tolist() == [[value, 0]]
    assert found.losses[0].kind == "note"
    assert "iscrowd" in found.losses[0].reason


def test_annotations_that_are_all_crowds_have_their_class(tmp_path: Path) -> None:
    account, masks = import_coco(tmp_path, [entry(1, "x.jpg")], [annotation(1, 1, iscrowd=1)])
    assert masks == {"x": 400}
    assert "--crowds void" in reasons(account, "note")


@pytest.mark.parametrize(("given", "pixels"), [("0", 400), (0.0, 400), ("false", 400), ("1", 0), (1, 0)])
def test_iscrowd_may_be_text(tmp_path: Path, given: Any, pixels: int) -> None:
    annotations = [annotation(1, 1, iscrowd=given), annotation(2, 2)]
    images = [entry(1, "x.jpg"), entry(2, "y.jpg")]
    assert import_coco(tmp_path, images, annotations)[1] == {"x": pixels, "y": 400}


def test_background_and_unused_supercategories_are_not_classes(tmp_path: Path) -> None:
    categories = [
        {"id": 0, "name": "fish", "supercategory": "none"},
        {"id": 1, "name": "peix", "supercategory": "fish"},
        {"id": 2, "name": "_background_"},
    ]
    account, _ = import_coco(tmp_path, [entry(1, "x.jpg")], [annotation(1, 1)], categories)
    assert list(account.pixels) == ["BACKGROUND", "peix"]
    assert "'fish'" in reasons(account, "note")


def test_categories_with_equal_names_are_one_class_and_similar_names_need_a_decision(tmp_path: Path) -> None:
    categories = [LEAF, {"id": 2, "name": "leaf"}]
    second = annotation(2, 1, category_id=2, segmentation=[square(30, 5)])
    assert import_coco(tmp_path, [entry(1, "x.jpg")], [annotation(1, 1), second], categories)[1] == {"x": 800}
    with pytest.raises(LookalikeNames):
        parse_coco({"images": [], "annotations": [], "categories": [LEAF, {"id": 2, "name": "Leaf "}]}, "a")


def test_missing_keys_of_a_coco_file_are_named(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"images": []}')
    with pytest.raises(ManifestError, match="annotations, categories missing"):
        read_coco(tmp_path / "a.json")


@pytest.mark.parametrize("text", ["{not", "[]", '{"images": 1, "annotations": [], "categories": []}', "[" * 100_000])
def test_an_invalid_coco_file_is_rejected_with_its_name(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(ManifestError, match=r"a\.json"):
        read_coco(tmp_path / "a.json")
