"""Files written by other tools (tests/data/formats/README.md) are imported as the masks that they were made from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gtseg.errors import ManifestError
from gtseg.imports.annotation_import import import_annotations
from gtseg.imports.annotations import AnnotationSet
from gtseg.imports.coco import parse_coco, read_coco
from gtseg.imports.color_tables import read_table
from gtseg.imports.cvat import read_cvat
from gtseg.imports.label_studio import read_label_studio
from gtseg.imports.mask_folder import import_masks
from gtseg.imports.mask_pairs import find_pairs
from gtseg.imports.yolo import read_yolo

DATA = Path(__file__).parent.parent / "data" / "formats"
TRUTH = {path.stem: np.asarray(Image.open(path)) for path in sorted((DATA / "truth").glob("*.png"))}


def import_masks_of(found: AnnotationSet, folder: Path) -> dict[str, np.ndarray]:
    report = import_annotations(DATA / "images", found, folder, name="x", workers=1)
    account = report.account
    flow = account.flow("annotation")
    lost = sum(loss.count for loss in account.losses if loss.unit == "annotation" and loss.kind != "note")
    assert flow.inputs == flow.outputs + lost
    return {path.stem: np.asarray(Image.open(path)) for path in (folder / "masks").glob("*.png")}


def test_compressed_run_lengths_of_pycocotools_are_exact(tmp_path: Path) -> None:
    found = parse_coco(read_coco(DATA / "pycocotools.json"), "pycocotools.json")
    assert found.classes == ("leaf", "stem")
    for name, mask in import_masks_of(found, tmp_path).items():
        assert (mask == TRUTH[name]).all()


def test_brushes_of_label_studio_are_exact(tmp_path: Path) -> None:
    found = read_label_studio(DATA / "label-studio.json")
    masks = import_masks_of(found, tmp_path)
    assert set(masks) == set(TRUTH)
    for name, mask in masks.items():
        assert (mask == TRUTH[name]).all()


def test_yolo_polygons_of_supervision_are_correct_except_at_edges_and_holes(tmp_path: Path) -> None:
    """Its polygons pass through pixel centers and have no holes."""
    found = read_yolo(DATA / "images", DATA / "supervision" / "labels", names=["leaf", "stem"])
    for name, mask in import_masks_of(found, tmp_path).items():
        assert set(np.unique(mask)) == set(np.unique(TRUTH[name]))
        assert (mask != TRUTH[name]).mean() < 0.12


def test_run_lengths_of_cvat_are_exact(tmp_path: Path) -> None:
    found = read_cvat(DATA / "cvat-masks.xml")
    assert found.classes == ("leaf", "stem")
    for name, mask in import_masks_of(found, tmp_path).items():
        assert (mask == TRUTH[name]).all()


def test_cvat_polygons_of_datumaro_are_correct_except_at_edges_and_holes(tmp_path: Path) -> None:
    """Its polygons pass through pixel centers and have no holes."""
    for name, mask in import_masks_of(read_cvat(DATA / "datumaro-cvat" / "train.xml"), tmp_path).items():
        assert set(np.unique(mask)) == set(np.unique(TRUTH[name]))
        assert (mask != TRUTH[name]).mean() < 0.12


def test_segmentation_masks_of_datumaro_are_exact(tmp_path: Path) -> None:
    folder = DATA / "datumaro-voc_segmentation"
    table = read_table(folder / "labelmap.txt")
    assert table.classes == ("leaf", "stem")
    found = find_pairs(DATA / "images", folder / "SegmentationClass")
    report = import_masks(found, tmp_path, table, name="m", workers=1)
    assert report.images == 2
    for path in (tmp_path / "masks").glob("*.png"):
        assert (np.asarray(Image.open(path)) == TRUTH[path.stem]).all()


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-32", "iso-8859-1"])
def test_xml_with_a_doctype_is_rejected_in_any_encoding(tmp_path: Path, encoding: str) -> None:
    text = (
        f'<?xml version="1.0" encoding="{encoding}"?><!DOCTYPE a [<!ENTITY b "c">]><annotations><image/></annotations>'
    )
    (tmp_path / "a.xml").write_bytes(text.encode(encoding))
    with pytest.raises(ManifestError, match=r"DOCTYPE|not readable"):
        read_cvat(tmp_path / "a.xml")
