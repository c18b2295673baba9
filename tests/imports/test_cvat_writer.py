from pathlib import Path

import numpy as np
import pytest

from gtseg.imports.annotation_masks import draw
from gtseg.imports.cvat import read_cvat
from gtseg.imports.cvat_writer import image_element, xml_head

RING = np.array([[1, 1, 1, 0], [1, 0, 1, 0], [1, 1, 1, 2]], np.uint8)


@pytest.mark.parametrize("polygons", [False, True])
def test_a_written_mask_is_read_back_exactly(tmp_path: Path, polygons: bool) -> None:
    image = image_element(0, "a.jpg", RING, classes=[(1, "leaf"), (2, "stem")], polygons=polygons)
    assert (image.regions, image.cut) == ((3, 2) if polygons else (2, 0))
    (tmp_path / "a.xml").write_text(xml_head(["leaf", "stem"], ["#010203", "#040506"]) + image.text + "</annotations>")
    assert (draw(read_cvat(tmp_path / "a.xml").images[0], (3, 4))[0] == RING).all()


def test_characters_that_are_invalid_in_xml_are_replaced(tmp_path: Path) -> None:
    image = image_element(0, "a\x00<b>.jpg", RING, classes=[(1, "a&\x08b")])
    (tmp_path / "a.xml").write_text(xml_head(["a&\x08b"], ["#010203"]) + image.text + "</annotations>", "utf-8")
    found = read_cvat(tmp_path / "a.xml")
    assert (found.classes, found.images[0].file_name) == (("a&\ufffdb",), "a\ufffd<b>.jpg")
