"""Small COCO files and photographs for tests of annotation imports."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from gtseg.core.account import Account
from gtseg.imports.annotation_import import import_annotations
from gtseg.imports.coco import parse_coco, read_coco

LEAF = {"id": 1, "name": "leaf"}


def square(x: int, y: int, side: int = 20) -> list[int]:
    return [x, y, x + side, y, x + side, y + side, x, y + side]


def entry(number: Any, name: str, **more: Any) -> dict[str, Any]:
    """Return an image entry of 60 x 40 pixels."""
    return {"id": number, "file_name": name, "width": 60, "height": 40, **more}


def annotation(number: int, image: Any, **more: Any) -> dict[str, Any]:
    """Return an annotation of 400 pixels."""
    return {
        "id": number,
        "image_id": image,
        "category_id": 1,
        "segmentation": [square(5, 5)],
        "iscrowd": 0,
        "area": 400,
        **more,
    }


def write_photo(folder: Path, name: str, *, orientation: int | None = None) -> None:
    path = folder / "photos" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    exif = Image.Exif()
    if orientation:
        exif[0x0112] = orientation
    Image.new("RGB", (60, 40), "teal").save(path, **({"exif": exif} if orientation else {}))


def import_coco(
    folder: Path,
    images: list[Any],
    annotations: list[Any],
    categories: list[Any] | None = None,
    *,
    photos: list[str] | None = None,
) -> tuple[Account, dict[str, int]]:
    """Import a COCO document and return the account, and the number of pixels of class 1 by name of the mask."""
    for name in photos if photos is not None else [image["file_name"] for image in images]:
        write_photo(folder, name)
    document = {"images": images, "annotations": annotations, "categories": categories or [LEAF]}
    (folder / "a.json").write_text(json.dumps(document))
    found = parse_coco(read_coco(folder / "a.json"), "a.json")
    report = import_annotations(folder / "photos", found, folder / "out", name="x", workers=1)
    masks = {p.stem: int((np.asarray(Image.open(p)) == 1).sum()) for p in (folder / "out" / "masks").glob("*.png")}
    lines = (folder / "out" / "output.manifest").read_text().splitlines()
    assert len({json.loads(line)["source-ref"] for line in lines}) == len(lines) == len(masks)
    return report.account, masks


def reasons(account: Account, kind: str = "lost") -> str:
    """Return the texts of the losses of a kind."""
    return "\n".join(loss.text for loss in account.losses if loss.kind == kind)
