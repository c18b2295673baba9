"""Files that other tools wrote (tests/data/formats/README.md) come in as the masks that they were made from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gtseg.errors import ManifestError
from gtseg.imports.annotations import AnnotationSet, import_annotations
from gtseg.imports.coco import parse_coco, read_coco
from gtseg.imports.cvat import read_cvat
from gtseg.imports.label_studio import read_label_studio
from gtseg.imports.mask_colors import read_table
from gtseg.imports.mask_folder import import_masks
from gtseg.imports.mask_pairs import find_pairs
from gtseg.imports.yolo import read_yolo

DATA = Path(__file__).parent.parent / "data" / "formats"
TRUTH = {path.stem: np.asarray(Image.open(path)) for path in sorted((DATA / "truth").glob("*.png"))}


def bring_in(found: AnnotationSet, folder: Path) -> dict[str, np.ndarray]:
    report = import_annotations(DATA / "images", found, folder, name="x", workers=1)
    account = report.account
    flow = account.flow("annotation")
    lost = sum(loss.count for loss in account.losses if loss.unit == "annotation" and loss.kind != "note")
    assert flow.came == flow.went + lost
    return {path.stem: np.asarray(Image.open(path)) for path in (folder / "masks").glob("*.png")}


def test_pycocotools_compressed_run_lengths_are_exact(tmp_path: Path) -> None:
    found = parse_coco(read_coco(DATA / "pycocotools.json"), "pycocotools.json")
    assert found.classes == ("leaf", "stem")
    for name, mask in bring_in(found, tmp_path).items():
        assert (mask == TRUTH[name]).all()


def test_label_studios_brushes_are_exact(tmp_path: Path) -> None:
    found = read_label_studio(DATA / "label-studio.json")
    masks = bring_in(found, tmp_path)
    assert set(masks) == set(TRUTH)
    for name, mask in masks.items():
        assert (mask == TRUTH[name]).all()


def test_supervisions_yolo_outlines_come_in(tmp_path: Path) -> None:
    """Its outlines run through pixel centers and know no holes: right within an edge and the hole."""
    found = read_yolo(DATA / "images", DATA / "supervision" / "labels", names=["leaf", "stem"])
    for name, mask in bring_in(found, tmp_path).items():
        assert set(np.unique(mask)) == set(np.unique(TRUTH[name]))
        assert (mask != TRUTH[name]).mean() < 0.12


def test_cvats_own_run_lengths_are_exact(tmp_path: Path) -> None:
    found = read_cvat(DATA / "cvat-masks.xml")
    assert found.classes == ("leaf", "stem")
    for name, mask in bring_in(found, tmp_path).items():
        assert (mask == TRUTH[name]).all()


def test_cvats_polygons_by_datumaro_come_in(tmp_path: Path) -> None:
    """Its outlines run through pixel centers: right within an edge and the hole, which polygons do not know."""
    for name, mask in bring_in(read_cvat(DATA / "datumaro-cvat" / "train.xml"), tmp_path).items():
        assert set(np.unique(mask)) == set(np.unique(TRUTH[name]))
        assert (mask != TRUTH[name]).mean() < 0.12


def test_cvats_segmentation_masks_by_datumaro_are_exact(tmp_path: Path) -> None:
    folder = DATA / "datumaro-voc_segmentation"
    table = read_table(folder / "labelmap.txt")
    assert table.classes == ("leaf", "stem")
    found = find_pairs(DATA / "images", folder / "SegmentationClass")
    report = import_masks(found, tmp_path, table, name="m", workers=1)
    assert report.images == 2
    for path in (tmp_path / "masks").glob("*.png"):
        assert (np.asarray(Image.open(path)) == TRUTH[path.stem]).all()


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-32", "iso-8859-1"])
def test_xml_with_a_doctype_is_refused_in_any_encoding(tmp_path: Path, encoding: str) -> None:
    text = (
        f'<?xml version="1.0" encoding="{encoding}"?><!DOCTYPE a [<!ENTITY b "c">]><annotations><image/></annotations>'
    )
    (tmp_path / "a.xml").write_bytes(text.encode(encoding))
    with pytest.raises(ManifestError, match=r"DOCTYPE|not readable"):
        read_cvat(tmp_path / "a.xml")
