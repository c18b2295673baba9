"""Situations that users reported of annotation files, rebuilt small: each with the value that is right."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from gtseg.core.account import Account
from gtseg.core.labeling.class_names import LookalikeNames
from gtseg.errors import ManifestError
from gtseg.imports.annotations import import_annotations
from gtseg.imports.coco import parse_coco, read_coco

LEAF = {"id": 1, "name": "leaf"}


def square(x: int, y: int, side: int = 20) -> list[int]:
    return [x, y, x + side, y, x + side, y + side, x, y + side]


def entry(number: Any, name: str, **more: Any) -> dict[str, Any]:
    return {"id": number, "file_name": name, "width": 60, "height": 40, **more}


def annotation(number: int, image: Any, **more: Any) -> dict[str, Any]:
    return {
        "id": number,
        "image_id": image,
        "category_id": 1,
        "segmentation": [square(5, 5)],
        "iscrowd": 0,
        "area": 400,
        **more,
    }


def photo(folder: Path, name: str, **more: Any) -> None:
    path = folder / "photos" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (60, 40), "teal").save(path, **more)


def bring_in(
    folder: Path,
    images: list[Any],
    annotations: list[Any],
    categories: list[Any] | None = None,
    *,
    photos: list[str] | None = None,
) -> tuple[Account, dict[str, int]]:
    """The account, and the pixels of class 1 by name of the mask."""
    for name in photos if photos is not None else [image["file_name"] for image in images]:
        photo(folder, name)
    document = {"images": images, "annotations": annotations, "categories": categories or [LEAF]}
    (folder / "a.json").write_text(json.dumps(document))
    found = parse_coco(read_coco(folder / "a.json"), "a.json")
    report = import_annotations(folder / "photos", found, folder / "out", name="x", workers=1)
    masks = {p.stem: int((np.asarray(Image.open(p)) == 1).sum()) for p in (folder / "out" / "masks").glob("*.png")}
    lines = (folder / "out" / "output.manifest").read_text().splitlines()
    assert len({json.loads(line)["source-ref"] for line in lines}) == len(lines) == len(masks)
    return report.account, masks


def reasons(account: Account, kind: str = "lost") -> str:
    return "\n".join(loss.text for loss in account.losses if loss.kind == kind)


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
def test_names_of_other_machines_are_found(tmp_path: Path, name: str, file: str) -> None:
    account, masks = bring_in(tmp_path, [entry(1, name)], [annotation(1, 1)], photos=[file])
    assert masks == {Path(file).stem: 400}
    assert account.exit_code == 0


def test_equal_names_in_several_folders_stay_apart(tmp_path: Path) -> None:
    names = [f"site{site}/cam0/0001.jpg" for site in "ABC"]
    _, masks = bring_in(tmp_path, [entry(i, n) for i, n in enumerate(names)], [annotation(i, i) for i in range(3)])
    assert masks == {f"site{site}-cam0-0001": 400 for site in "ABC"}


def test_a_file_that_two_entries_name_is_neithers(tmp_path: Path) -> None:
    images = [entry(1, "a/x.jpg"), entry(2, "b/x.jpg"), entry(3, "y.jpg")]
    account, masks = bring_in(tmp_path, images, [annotation(i, i) for i in (1, 2, 3)], photos=["x.jpg", "y.jpg"])
    assert masks == {"y": 400}
    assert "'a/x.jpg' and 'b/x.jpg'" in reasons(account)
    assert account.shortfall == "1 of 3 images arrived"


def test_ids_that_differ_in_type_match(tmp_path: Path) -> None:
    account, masks = bring_in(tmp_path, [entry("1", "x.jpg")], [annotation(1, 1, category_id=1.0)])
    assert (masks, account.exit_code) == ({"x": 400}, 0)


@pytest.mark.parametrize("segmentation", [square(5, 5), [square(5, 5)], [[[5, 5], [25, 5], [25, 25], [5, 25]]]])
def test_a_flat_outline_and_pairs_are_outlines(tmp_path: Path, segmentation: list) -> None:
    assert bring_in(tmp_path, [entry(1, "x.jpg")], [annotation(1, 1, segmentation=segmentation)])[1] == {"x": 400}


def test_a_ring_inside_another_is_mentioned(tmp_path: Path) -> None:
    rings = [square(5, 5), square(10, 10, 5)]
    account, masks = bring_in(tmp_path, [entry(1, "x.jpg")], [annotation(1, 1, segmentation=rings)])
    assert masks == {"x": 400}
    assert "inside another" in reasons(account, "note")


def test_boxes_alone_are_refused_and_beside_outlines_a_shortfall(tmp_path: Path) -> None:
    boxes = [annotation(i, 1, segmentation=[], bbox=[5, 5, 20, 20]) for i in range(3)]
    with pytest.raises(ManifestError, match=r"x\.jpg: none of its .*3 annotations: a box and no outline"):
        bring_in(tmp_path, [entry(1, "x.jpg")], boxes)
    images = [entry(1, "x.jpg"), entry(2, "y.jpg")]
    account, _ = bring_in(tmp_path, images, [*boxes, annotation(9, 2)])
    assert account.shortfall == "1 of 4 annotations arrived"
    assert "a box and no outline" in reasons(account)


def test_annotations_that_land_nowhere_are_counted_by_reason(tmp_path: Path) -> None:
    lost = [
        annotation(2, 9),
        annotation(3, 9),
        annotation(4, 1, segmentation=[[1, 2, 3, 4]]),
        annotation(5, 1, category_id=7),
        annotation(6, 1, segmentation=[square(500, 500)]),
    ]
    account, masks = bring_in(tmp_path, [entry(1, "x.jpg")], [*(annotation(i, 1) for i in range(10, 20)), *lost])
    assert (account.flow("annotation").came, account.flow("annotation").went) == (15, 10)
    assert {loss.reason: loss.count for loss in account.losses} == {
        "of no image of the file": 2,
        "an outline with fewer than three points": 1,
        "of a category that the file does not list": 1,
        "no pixel: smaller than one, or outside the image": 1,
    }
    assert masks == {"x": 400}
    assert account.exit_code == 5


def test_masks_that_are_all_crowds_are_the_class(tmp_path: Path) -> None:
    account, masks = bring_in(tmp_path, [entry(1, "x.jpg")], [annotation(1, 1, iscrowd=1)])
    assert masks == {"x": 400}
    assert "--crowds void" in reasons(account, "note")


def test_background_and_an_unused_parent_are_no_classes(tmp_path: Path) -> None:
    categories = [
        {"id": 0, "name": "fish", "supercategory": "none"},
        {"id": 1, "name": "peix", "supercategory": "fish"},
        {"id": 2, "name": "_background_"},
    ]
    account, _ = bring_in(tmp_path, [entry(1, "x.jpg")], [annotation(1, 1)], categories)
    assert list(account.pixels) == ["BACKGROUND", "peix"]
    assert "'fish'" in reasons(account, "note")


def test_a_class_without_a_pixel_is_a_loss(tmp_path: Path) -> None:
    account, _ = bring_in(tmp_path, [entry(1, "x.jpg")], [annotation(1, 1)], [LEAF, {"id": 2, "name": "stem"}])
    assert "1 class: no pixel; 'stem'" in reasons(account)


def test_categories_of_one_name_are_one_and_lookalikes_are_asked_about(tmp_path: Path) -> None:
    twice = [LEAF, {"id": 2, "name": "leaf"}]
    second = annotation(2, 1, category_id=2, segmentation=[square(30, 5)])
    assert bring_in(tmp_path, [entry(1, "x.jpg")], [annotation(1, 1), second], twice)[1] == {"x": 800}
    with pytest.raises(LookalikeNames):
        parse_coco({"images": [], "annotations": [], "categories": [LEAF, {"id": 2, "name": "Leaf "}]}, "a")


@pytest.mark.parametrize("size", [{}, {"width": None, "height": None}])
@pytest.mark.parametrize("drawn_upright", [True, False])
def test_a_photograph_that_its_exif_turns_is_drawn_upright_or_named(
    tmp_path: Path, drawn_upright: bool, size: dict
) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    photo(tmp_path, "x.jpg", exif=exif)
    outline = square(5, 36) if drawn_upright else square(5, 5)  # below the stored height of 40, within the upright 60
    account, masks = bring_in(
        tmp_path, [entry(1, "x.jpg", **size)], [annotation(1, 1, segmentation=[outline])], photos=[]
    )
    assert masks == ({"x": 400} if drawn_upright else {})
    assert drawn_upright or "EXIF orientation 6" in reasons(account)


@pytest.mark.parametrize("orientation", [2, 3, 4])
def test_a_mirrored_photograph_whose_size_decides_nothing_is_named(tmp_path: Path, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    photo(tmp_path, "x.jpg", exif=exif)
    photo(tmp_path, "y.jpg")
    images = [entry(1, "x.jpg"), entry(2, "y.jpg")]
    account, masks = bring_in(tmp_path, images, [annotation(1, 1), annotation(2, 2)], photos=[])
    assert masks == {"y": 400}
    assert f"EXIF orientation {orientation}" in reasons(account)
    assert account.exit_code == 5


@pytest.mark.parametrize("size", [{}, {"width": 0, "height": 0}, {"width": -1, "height": -1}])
def test_an_outline_mostly_outside_its_image_is_lost_by_name(tmp_path: Path, size: dict) -> None:
    image = {"id": 1, "file_name": "x.jpg", **size}
    outlines = [square(5, 5), square(51, 5), square(35, 25)]  # inside, 9 of 20 columns inside, 15 of 20 rows
    account, masks = bring_in(tmp_path, [image], [annotation(i, 1, segmentation=[o]) for i, o in enumerate(outlines)])
    assert masks == {"x": 400 + 20 * 15}
    assert "1 annotation: more than half of it lies outside the image" in reasons(account)
    assert "annotation 1 on" in reasons(account)


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
def test_an_image_of_which_nothing_can_be_read_is_named_and_no_background(tmp_path: Path, broken: dict) -> None:
    images = [entry(1, "x.jpg"), entry(2, "y.jpg", width=float("inf"))]
    account, masks = bring_in(tmp_path, images, [annotation(1, 1, **broken), annotation(2, 2, area=10**400)])
    assert masks == {"y": 400}
    assert "no background" in reasons(account)
    assert account.exit_code == 5
    assert account.flow("annotation").came == 2


@pytest.mark.parametrize(("given", "pixels"), [("0", 400), (0.0, 400), ("false", 400), ("1", 0), (1, 0)])
def test_iscrowd_as_text_means_what_it_says(tmp_path: Path, given: Any, pixels: int) -> None:
    things = [annotation(1, 1, iscrowd=given), annotation(2, 2)]
    assert bring_in(tmp_path, [entry(1, "x.jpg"), entry(2, "y.jpg")], things)[1] == {"x": pixels, "y": 400}


def test_only_regular_files_of_the_folder_are_read(tmp_path: Path) -> None:
    photo(tmp_path, "x.jpg")
    os.mkfifo(tmp_path / "photos" / "f.jpg")
    (tmp_path / "photos" / "z.jpg").symlink_to("/dev/zero")
    (tmp_path / "photos" / "l.jpg").symlink_to("/etc/hostname")
    images = [entry(i, f"{name}.jpg") for i, name in enumerate("xfzl")]
    account, masks = bring_in(tmp_path, images, [annotation(i, i) for i in range(4)], photos=[])
    assert masks == {"x": 400}
    assert "2 images: no regular file" in reasons(account)
    assert "--follow-links" in reasons(account)


def test_no_image_starts_an_interpreter(tmp_path: Path) -> None:
    photo(tmp_path, "y.jpg")
    (tmp_path / "photos" / "x.jpg").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 60 40\nshowpage\n")
    account, masks = bring_in(
        tmp_path, [entry(1, "x.jpg"), entry(2, "y.jpg")], [annotation(1, 1), annotation(2, 2)], photos=[]
    )
    assert masks == {"y": 400}
    assert "contains PostScript" in reasons(account)


def test_a_label_that_was_corrected_is_drawn_again(tmp_path: Path) -> None:
    bring_in(tmp_path, [entry(1, "x.jpg")], [annotation(1, 1)])
    assert bring_in(tmp_path, [entry(1, "x.jpg")], [annotation(1, 1, segmentation=[square(5, 5, 10)])])[1] == {"x": 100}


@pytest.mark.parametrize("text", ["{not", "[]", '{"images": 1, "annotations": [], "categories": []}', "[" * 100_000])
def test_what_is_no_coco_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(ManifestError, match=r"a\.json"):
        read_coco(tmp_path / "a.json")
