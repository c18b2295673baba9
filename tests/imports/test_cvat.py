from pathlib import Path

import pytest

from gtseg.errors import ManifestError
from gtseg.imports.annotation_masks import draw
from gtseg.imports.cvat import read_cvat

LEAF = '<polygon label="leaf" points="5,5;25,5;25,25;5,25" z_order="0"/>'
STEM = '<polygon label="stem" points="10,10;20,10;20,20;10,20" z_order="1"/>'


def document(folder: Path, shapes: str) -> Path:
    labels = "".join(f"<label><name>{name}</name></label>" for name in ("leaf", "stem"))
    (folder / "a.xml").write_text(
        f"<annotations><version>1.1</version><meta><task><labels>{labels}</labels></task></meta>"
        f'<image id="0" name="a.jpg" width="60" height="40">{shapes}</image></annotations>'
    )
    return folder / "a.xml"


def test_a_shape_with_a_higher_z_order_is_on_top(tmp_path: Path) -> None:
    for shapes in (LEAF + STEM, STEM + LEAF):
        found = read_cvat(document(tmp_path, shapes))
        mask, drawn, losses = draw(found.images[0], (40, 60))
        assert ((mask == 1).sum(), (mask == 2).sum(), drawn, losses) == (300, 100, 2, [])


@pytest.mark.parametrize(
    ("shape", "reason"),
    [
        ('<box label="leaf" xtl="1" ytl="1" xbr="5" ybr="5"/>', "bounding box"),
        ('<polyline label="leaf" points="1,1;2,2"/>', "no area"),
        ('<polygon label="leaf" points="1,1;2,2"/>', "fewer than three points"),
        ('<polygon label="leaf" points="1,1;x,2;3,3"/>', "invalid number"),
        ('<mask label="leaf" rle="1" top="0" width="5" height="5"/>', "missing or non-numeric attributes"),
        ('<polygon points="1,1;2,2;3,1"/>', "no label"),
    ],
)
def test_an_element_without_an_area_or_label_is_lost_with_the_reason(tmp_path: Path, shape: str, reason: str) -> None:
    found = read_cvat(document(tmp_path, shape + LEAF))
    assert (found.total, len(found.images[0].shapes)) == (2, 1)
    assert reason in found.losses[0].reason


@pytest.mark.parametrize(("left", "pixels"), [(57, 3 * 5), (-2, 3 * 5), (58, 0), (-3, 0), (100, 0)])
def test_a_mask_is_clipped_to_the_image_and_lost_if_mostly_outside(tmp_path: Path, left: int, pixels: int) -> None:
    mask = f'<mask label="stem" rle="0, 25" left="{left}" top="0" width="5" height="5"/>'
    indices, drawn, _ = draw(read_cvat(document(tmp_path, mask)).images[0], (40, 60))
    assert ((indices == 2).sum(), drawn) == (pixels, bool(pixels))


@pytest.mark.parametrize(
    "text", ["<annotations><image", "<annotations/>", "", "<annotations><track id='0'/></annotations>"]
)
def test_a_file_that_is_no_export_is_rejected_with_its_name(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.xml").write_text(text)
    with pytest.raises(ManifestError, match=r"a\.xml"):
        read_cvat(tmp_path / "a.xml")


def test_an_image_whose_only_shape_has_an_infinite_z_order_is_not_background(tmp_path: Path) -> None:
    found = read_cvat(document(tmp_path, LEAF.replace('z_order="0"', 'z_order="inf"')))
    assert [loss.reason for loss in found.losses] == ["missing or non-numeric attributes"]
    assert "not imported as background" in found.images[0].problem
