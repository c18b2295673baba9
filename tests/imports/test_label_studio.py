import json
from pathlib import Path
from typing import Any

import pytest

from gtseg.errors import ManifestError
from gtseg.imports.annotation_masks import draw
from gtseg.imports.annotations import AnnotationSet
from gtseg.imports.label_studio import read_label_studio

POINTS = [[10, 10], [50, 10], [50, 60], [10, 60]]


def polygon(label: str, **more: Any) -> dict[str, Any]:
    return {
        "id": "p",
        "type": "polygonlabels",
        "original_width": 60,
        "original_height": 40,
        "image_rotation": 0,
        "value": {"points": POINTS, "polygonlabels": [label]},
        **more,
    }


def task(*results: Any, **more: Any) -> dict[str, Any]:
    return {
        "id": 1,
        "data": {"image": "/data/upload/2/0a1b2c3d-a.jpg"},
        "annotations": [{"id": 7, "result": list(results), **more}],
    }


def read(folder: Path, *tasks: Any) -> AnnotationSet:
    (folder / "a.json").write_text(json.dumps(tasks))
    return read_label_studio(folder / "a.json")


JSON_MIN = {
    "id": 1,
    "image": "a.jpg",
    "annotator": 1,
    "label": [{"points": POINTS, "polygonlabels": ["leaf"], "original_width": 60, "original_height": 40}],
}
SEPARATE_LABELS = task(
    {"id": "z", "type": "polygon", "original_width": 60, "original_height": 40, "value": {"points": POINTS}},
    {
        "id": "z",
        "type": "labels",
        "original_width": 60,
        "original_height": 40,
        "value": {"points": POINTS, "labels": ["leaf"]},
    },
    {"id": "q", "type": "choices", "value": {"choices": ["blurred"]}},
)


@pytest.mark.parametrize(
    "given", [task(polygon("leaf")), JSON_MIN, SEPARATE_LABELS], ids=["json", "json-min", "separate labels"]
)
def test_a_polygon_in_percent_is_drawn(tmp_path: Path, given: dict) -> None:
    found = read(tmp_path, given)
    assert (found.classes, found.total, found.losses) == (("leaf",), 1, ())
    assert draw(found.images[0], (40, 60))[0].sum() == 24 * 20


def test_the_ground_truth_or_else_the_newest_annotation_is_used(tmp_path: Path) -> None:
    old, new = (
        {"id": 1, "updated_at": "2024-01-01", "result": [polygon("leaf")]},
        {"id": 2, "updated_at": "2024-02-01", "result": [polygon("stem")]},
    )
    both = {**task(), "annotations": [old, new]}
    assert read(tmp_path, both).classes == ("stem",)
    assert read(tmp_path, both).losses[0].unit == "other annotation"
    assert read(tmp_path, {**both, "annotations": [{**old, "ground_truth": True}, new]}).classes == ("leaf",)


def test_a_task_without_labels_is_not_imported_as_background(tmp_path: Path) -> None:
    found = read(
        tmp_path,
        task(polygon("leaf")),
        task(polygon("leaf"), was_cancelled=True),
        {**task(), "annotations": []},
    )
    assert len(found.images) == 1
    assert [(loss.unit, loss.count) for loss in found.losses] == [("task", 2)]


@pytest.mark.parametrize(
    ("region", "reason"),
    [
        (polygon("leaf", image_rotation=90), "rotated in Label Studio"),
        (
            {
                "type": "rectanglelabels",
                "value": {"x": 1, "y": 1, "width": 5, "height": 5, "rectanglelabels": ["leaf"]},
            },
            "bounding box",
        ),
        ({"type": "brushlabels", "value": {"rle": [0], "brushlabels": ["leaf"]}}, "original_width"),
        (polygon("leaf", value={"points": [[1, 1]], "polygonlabels": ["leaf"]}), "fewer than three points"),
    ],
)
def test_a_region_that_is_no_mask_is_lost_with_the_reason(tmp_path: Path, region: dict, reason: str) -> None:
    found = read(tmp_path, task(region, polygon("stem")))
    assert (found.total, len(found.images[0].shapes)) == (2, 1)
    assert reason in found.losses[0].reason


@pytest.mark.parametrize("text", ["", "[]", '{"a": 1}', "[1]", "[" * 100_000])
def test_a_file_that_is_no_export_is_rejected_with_its_name(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(ManifestError, match=r"a\.json"):
        read_label_studio(tmp_path / "a.json")


def test_a_region_of_an_unknown_type_is_lost(tmp_path: Path) -> None:
    bitmask = {"id": "b", "type": "bitmask", "value": {"imageDataURL": "data:", "bitmasklabels": ["leaf"]}}
    odd = {"id": "o", "type": "new", "value": {"what": 1}}
    found = read(tmp_path, task(polygon("leaf"), bitmask, odd, 7))
    assert (found.total, len(found.images[0].shapes)) == (4, 1)
    assert sum(loss.count for loss in found.losses if loss.kind == "lost") == 3


def test_an_image_without_a_readable_region_is_not_imported_as_background(tmp_path: Path) -> None:
    bitmask = {"id": "b", "type": "bitmask", "value": {"imageDataURL": "data:", "bitmasklabels": ["leaf"]}}
    second = {**task(polygon("leaf")), "data": {"image": "b.jpg"}}
    found = read(tmp_path, task(bitmask), second)
    assert [bool(image.problem) for image in found.images] == [True, False]


def test_to_name_assigns_the_regions_of_a_task_with_two_images(tmp_path: Path) -> None:
    given = task(*(polygon("leaf", to_name=name) for name in ("left", "right", "right", "other")))
    given["data"] = {"left": "l.jpg", "right": "r.jpg"}
    found = read(tmp_path, given)
    assert {image.file_name: len(image.shapes) for image in found.images} == {"l.jpg": 1, "r.jpg": 2}
    assert found.total == 4
    assert [loss.count for loss in found.losses if "several images" in loss.reason] == [1]


@pytest.mark.parametrize("more", [{"original_height": float("inf")}, {"image_rotation": 10**400}])
def test_a_region_with_an_infinite_or_huge_number_is_lost(tmp_path: Path, more: dict) -> None:
    found = read(tmp_path, task(polygon("leaf"), polygon("leaf", **more)))
    assert (found.total, len(found.images[0].shapes)) == (2, 1)
    assert sum(loss.count for loss in found.losses) == 1


@pytest.mark.parametrize("byte", [300, -1, float("inf")])
def test_a_brush_with_invalid_bytes_is_lost(tmp_path: Path, byte: float) -> None:
    brush = polygon("leaf", value={"rle": [0, byte], "brushlabels": ["leaf"]})
    found = read(tmp_path, task(polygon("leaf"), brush))
    losses = [*found.losses, *draw(found.images[0], (40, 60))[2]]
    assert [loss.kind for loss in losses] == ["lost"]
