"""Random masks are written in each format and imported again."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from gtseg.errors import ManifestError
from gtseg.imports.annotation_import import import_annotations
from gtseg.imports.annotations import AnnotationSet
from gtseg.imports.coco import parse_coco, read_coco
from gtseg.imports.color_tables import read_table
from gtseg.imports.cvat import read_cvat
from gtseg.imports.mask_folder import import_masks
from gtseg.imports.mask_pairs import find_pairs
from gtseg.imports.outcomes import Report
from gtseg.imports.writers import FORMATS, Item
from gtseg.imports.yolo import read_yolo

CLASSES = ("leaf", "stem <&\"'>", "fruit é")
SHAPES = st.tuples(st.integers(2, 14), st.integers(2, 14))


def mask_sets(*values: int) -> st.SearchStrategy[list[np.ndarray]]:
    return st.lists(arrays(np.uint8, SHAPES, elements=st.sampled_from(values)), min_size=1, max_size=3)


def write_set(form: str, masks: list[np.ndarray], folder: Path, *, polygons: bool, split: str) -> int:
    """Write masks in a format and return the number of regions."""
    writer = FORMATS[form](folder, CLASSES, polygons=polygons)
    for number, mask in enumerate(masks):
        path = folder / "images" / split / f"i{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.zeros((*mask.shape, 3), np.uint8)).save(path)
        writer.add(Item(f"i{number}", ".png", mask, split))
    writer.finish()
    return int(writer.regions)


def read_set(form: str, folder: Path, split: str) -> AnnotationSet:
    if form == "coco":
        path = folder / (f"annotations/{split}.json" if split else "annotations.json")
        return parse_coco(read_coco(path), str(path))
    return read_cvat(folder / "annotations.xml") if form == "cvat" else read_yolo(folder)


def import_set(form: str, folder: Path, split: str) -> Report:
    images = folder if form == "yolo" else folder / "images"
    if form == "masks":
        table = read_table(folder / "labels.json", by_index=True)
        return import_masks(find_pairs(images, folder / "masks"), folder / "back", table, name="m", workers=1)
    return import_annotations(images, read_set(form, folder, split), folder / "back", name="x", workers=1)


def values_of(path: Path) -> np.ndarray:
    stored = np.asarray(Image.open(path))
    return np.where(stored == len(CLASSES) + 1, 255, stored)  # void is stored as the index after the classes


@pytest.mark.parametrize("form", ["coco", "yolo", "masks", "cvat"])
@settings(deadline=None, max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_written_masks_are_imported_exactly_and_completely(form: str, data: st.DataObject) -> None:
    masks = data.draw(mask_sets(0, 1, 2, 3, *(() if form == "yolo" else (255,))))
    split, polygons = data.draw(st.sampled_from(["", "train"])), data.draw(st.booleans())
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        regions = write_set(form, masks, folder, polygons=polygons, split=split)
        account = import_set(form, folder, split).account
        back = {path.stem: values_of(path) for path in (folder / "back" / "masks").glob("*.png")}
    assert (account.flow("image").inputs, account.flow("image").outputs) == (len(masks), len(masks))
    if form != "masks":
        assert (account.flow("annotation").inputs, account.flow("annotation").outputs) == (regions, regions)
    assert len(back) == len(masks)
    for number, mask in enumerate(masks):
        assert (back[f"i{number}"] == mask).all()
    lost = {loss.unit for loss in account.losses if loss.kind != "note"}
    assert lost <= {"class"}  # classes that no mask has


NUMBERS = st.one_of(st.integers(-5, 20), st.floats(-5, 20), st.just("x"), st.none())
SEGMENTATIONS = st.one_of(
    st.none(),
    st.lists(NUMBERS, max_size=9),
    st.lists(st.lists(NUMBERS, max_size=9), max_size=3),
    st.fixed_dictionaries({"size": st.just([10, 12]), "counts": st.lists(st.integers(0, 60), max_size=6)}),
    st.text(max_size=3),
)
ANNOTATIONS = st.fixed_dictionaries(
    {},
    optional={
        "id": st.integers(0, 9),
        "image_id": st.sampled_from([1, "1", 2, 2.0, 3, 9, None]),
        "category_id": st.sampled_from([1, "1", 2, 5, None]),
        "iscrowd": st.sampled_from([0, 1]),
        "area": NUMBERS,
        "bbox": st.just([0, 0, 1, 1]),
        "segmentation": SEGMENTATIONS,
    },
)


@settings(deadline=None, max_examples=40)
@given(st.lists(ANNOTATIONS, max_size=6), st.lists(st.sampled_from([1, "2", 3, 3]), max_size=4))
def test_every_annotation_of_any_coco_file_is_imported_or_lost(annotations: list[dict], images: list[object]) -> None:
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        (folder / "images").mkdir()
        Image.new("RGB", (12, 10)).save(folder / "images" / "i.png")
        document = {
            "images": [
                {"id": n, "file_name": f"{'i' if k == 0 else k}.png", "height": 10, "width": 12}
                for k, n in enumerate(images)
            ],
            "annotations": annotations,
            "categories": [{"id": 1, "name": "leaf"}, {"id": 2, "name": "stem"}],
        }
        (folder / "a.json").write_text(json.dumps(document))
        found = parse_coco(read_coco(folder / "a.json"), "a.json")
        if not images:
            return
        refusal = ""
        try:
            account = import_annotations(folder / "images", found, folder / "out", name="x", workers=1).account
        except ManifestError as refused:
            refusal = str(refused)
    if refusal:  # no image is left: the first one is named, with what it lacks
        assert refusal.startswith("no image of a.json can be labeled: i.png: ")
        return
    for unit in ("annotation", "image"):
        flow = account.flow(unit)
        gone = sum(
            x.count
            for x in account.losses
            if x.unit == unit and "crowds" not in x.reason and "inside another" not in x.reason
        )
        assert flow.inputs == flow.outputs + gone, account.losses
