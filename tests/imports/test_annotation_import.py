from __future__ import annotations

import os
from pathlib import Path

import pytest
from coco_files import LEAF, annotation, entry, import_coco, reasons, square, write_photo

from gtseg.errors import ManifestError


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("images\\upload\\1\\img0.jpg", "img0.jpg"),
        ("C:\\data\\img0.jpg", "img0.jpg"),
        ("https://host/a/img%200.jpg?sig=1", "img 0.jpg"),
        ("../../data/img0.jpg", "img0.jpg"),
        ("/data/upload/1/0a1b2c3d-img0.jpg", "img0.jpg"),
        ("IMG0.JPG", "img0.jpg"),
        ("img0", "img0.jpg"),
    ],
)
def test_images_are_found_by_paths_of_other_machines_and_by_urls(tmp_path: Path, name: str, file: str) -> None:
    account, masks = import_coco(tmp_path, [entry(1, name)], [annotation(1, 1)], photos=[file])
    assert masks == {Path(file).stem: 400}
    assert account.exit_code == 0


def test_files_with_equal_names_in_different_folders_are_different_images(tmp_path: Path) -> None:
    names = [f"site{site}/cam0/0001.jpg" for site in "ABC"]
    _, masks = import_coco(tmp_path, [entry(i, n) for i, n in enumerate(names)], [annotation(i, i) for i in range(3)])
    assert masks == {f"site{site}-cam0-0001": 400 for site in "ABC"}


def test_a_file_that_two_entries_match_is_skipped_as_ambiguous(tmp_path: Path) -> None:
    images = [entry(1, "a/x.jpg"), entry(2, "b/x.jpg"), entry(3, "y.jpg")]
    account, masks = import_coco(tmp_path, images, [annotation(i, i) for i in (1, 2, 3)], photos=["x.jpg", "y.jpg"])
    assert masks == {"y": 400}
    assert "'a/x.jpg' and 'b/x.jpg'" in reasons(account)
    assert account.shortfall == "1 of 3 images arrived"


def test_bounding_boxes_are_lost_and_an_error_if_there_is_nothing_else(tmp_path: Path) -> None:
    boxes = [annotation(i, 1, segmentation=[], bbox=[5, 5, 20, 20]) for i in range(3)]
    with pytest.raises(ManifestError, match=r"x\.jpg: none of its .*3 annotations: bounding box without segmentation"):
        import_coco(tmp_path, [entry(1, "x.jpg")], boxes)
    images = [entry(1, "x.jpg"), entry(2, "y.jpg")]
    account, _ = import_coco(tmp_path, images, [*boxes, annotation(9, 2)])
    assert account.shortfall == "1 of 4 annotations arrived"
    assert "bounding box without segmentation" in reasons(account)


def test_lost_annotations_are_counted_by_reason(tmp_path: Path) -> None:
    lost = [
        annotation(2, 9),
        annotation(3, 9),
        annotation(4, 1, segmentation=[[1, 2, 3, 4]]),
        annotation(5, 1, category_id=7),
        annotation(6, 1, segmentation=[square(500, 500)]),
    ]
    account, masks = import_coco(tmp_path, [entry(1, "x.jpg")], [*(annotation(i, 1) for i in range(10, 20)), *lost])
    assert (account.flow("annotation").inputs, account.flow("annotation").outputs) == (15, 10)
    assert {loss.reason: loss.count for loss in account.losses} == {
        "image_id of no image": 2,
        "outline with fewer than three points": 1,
        "unknown category_id": 1,
        "no pixel: smaller than a pixel, or outside the image": 1,
    }
    assert masks == {"x": 400}
    assert account.exit_code == 5


def test_a_class_without_a_pixel_is_a_loss(tmp_path: Path) -> None:
    account, _ = import_coco(tmp_path, [entry(1, "x.jpg")], [annotation(1, 1)], [LEAF, {"id": 2, "name": "stem"}])
    assert "1 class: no pixel; 'stem'" in reasons(account)


@pytest.mark.parametrize(
    "broken",
    [
        {"segmentation": [[10**400, *square(5, 5)[1:]]]},
        {"segmentation": [[float("inf"), *square(5, 5)[1:]]]},
        {"segmentation": [[1e300, *square(5, 5)[1:]]]},
        {"segmentation": {"size": [40, 60], "counts": [float("inf")]}, "area": None},
        {"segmentation": {"size": [40, 60], "counts": [0, 10**400]}, "area": 10**400},
        {"segmentation": {"size": [float("inf"), 60], "counts": [1]}},
    ],
)
def test_an_image_without_a_readable_annotation_is_skipped_and_not_background(tmp_path: Path, broken: dict) -> None:
    images = [entry(1, "x.jpg"), entry(2, "y.jpg", width=float("inf"))]
    account, masks = import_coco(tmp_path, images, [annotation(1, 1, **broken), annotation(2, 2, area=10**400)])
    assert masks == {"y": 400}
    assert "not imported as background" in reasons(account)
    assert account.exit_code == 5
    assert account.flow("annotation").inputs == 2


def test_only_regular_files_in_the_folder_are_read(tmp_path: Path) -> None:
    write_photo(tmp_path, "x.jpg")
    os.mkfifo(tmp_path / "photos" / "f.jpg")
    (tmp_path / "photos" / "z.jpg").symlink_to("/dev/zero")
    (tmp_path / "photos" / "l.jpg").symlink_to("/etc/hostname")
    images = [entry(i, f"{name}.jpg") for i, name in enumerate("xfzl")]
    account, masks = import_coco(tmp_path, images, [annotation(i, i) for i in range(4)], photos=[])
    assert masks == {"x": 400}
    assert "2 images: not a regular file" in reasons(account)
    assert "--follow-links" in reasons(account)


def test_a_postscript_file_named_as_an_image_is_not_interpreted(tmp_path: Path) -> None:
    write_photo(tmp_path, "y.jpg")
    (tmp_path / "photos" / "x.jpg").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 60 40\nshowpage\n")
    account, masks = import_coco(
        tmp_path, [entry(1, "x.jpg"), entry(2, "y.jpg")], [annotation(1, 1), annotation(2, 2)], photos=[]
    )
    assert masks == {"y": 400}
    assert "contains PostScript" in reasons(account)


def test_a_changed_annotation_is_drawn_again(tmp_path: Path) -> None:
    import_coco(tmp_path, [entry(1, "x.jpg")], [annotation(1, 1)])
    changed = annotation(1, 1, segmentation=[square(5, 5, 10)])
    assert import_coco(tmp_path, [entry(1, "x.jpg")], [changed])[1] == {"x": 100}
