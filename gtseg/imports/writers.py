"""Writers of masks in the formats of other tools, one image at a time.

The files of a split are in folders by part (train, validation, test).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from gtseg.core.account import Loss
from gtseg.core.classes import VOID, VOID_NAME
from gtseg.core.masks import encode_palette_png

from .coco_writer import MaskedImage, extend_coco, new_coco
from .color_tables import label_map_for
from .cvat_writer import image_element, xml_head
from .output_files import VOID_COLOR, class_color
from .yolo_writer import data_yaml, to_yolo


@dataclass(frozen=True)
class Item:
    """Image to write: unique stem and suffix, (H, W) uint8 class indices (255 void), and part of the split."""

    stem: str
    suffix: str
    mask: NDArray[np.uint8]
    split: str = ""

    @property
    def file_name(self) -> str:
        return f"{self.stem}{self.suffix}"


class Writer(Protocol):
    """Writer of a format to a folder. `regions`: number of written regions; `losses`: what the format cannot hold."""

    regions: int
    losses: list[Loss]

    def __init__(self, out: Path, classes: Sequence[str], *, polygons: bool) -> None: ...
    def add(self, item: Item) -> None: ...
    def finish(self) -> None: ...


class Coco:
    """annotations.json (with a split: annotations/<part>.json), images/.

    Masks are exact run lengths or polygons; regions with holes are always run lengths. Void is a category of crowds.
    """

    def __init__(self, out: Path, classes: Sequence[str], *, polygons: bool) -> None:
        self.out, self.classes, self.polygons = out, classes, polygons
        self.documents: dict[str, dict[str, Any]] = {}
        self.regions, self.losses = 0, list[Loss]()

    def add(self, item: Item) -> None:
        document = self.documents.setdefault(item.split, new_coco(self.classes))
        before = len(document["annotations"])
        holes = document["info"]["with_holes"]
        extend_coco(document, MaskedImage(item.file_name, item.mask), polygons=self.polygons)
        self.regions += len(document["annotations"]) - before
        if added := document["info"]["with_holes"] - holes:
            reason = "region with holes, written as run lengths: COCO's polygons cannot have holes"
            self.losses.append(Loss("region", reason, item.file_name, added, "note"))

    def finish(self) -> None:
        for split, document in (self.documents or {"": new_coco(self.classes)}).items():
            name = f"annotations/{split}.json" if split else "annotations.json"
            write_file(self.out / name, json.dumps(document).encode())


class Yolo:
    """images/, labels/<stem>.txt, data.yaml. Masks are exact; regions with holes are divided. YOLO has no void."""

    PARTS: Mapping[str, str] = {"train": "train", "validation": "val", "test": "test"}

    def __init__(self, out: Path, classes: Sequence[str], *, polygons: bool) -> None:
        self.out, self.classes = out, classes
        self.parts: set[str] = set()
        self.regions, self.losses = 0, list[Loss]()

    def add(self, item: Item) -> None:
        label = to_yolo(item.mask, len(self.classes))
        self.regions += label.lines
        self.parts.add(item.split)
        if label.cut:
            reason = "part of a region with holes, which was divided: YOLO's polygons cannot have holes"
            self.losses.append(Loss("region", reason, item.file_name, label.cut, "note"))
        if void := int((item.mask == VOID).sum()):
            self.losses.append(Loss("pixel", "void, written as background: YOLO has no void", item.file_name, void))
        write_file(self.out / "labels" / item.split / f"{item.stem}.txt", label.text.encode())

    def finish(self) -> None:
        folders = {self.PARTS[part]: f"images/{part}" for part in sorted(self.parts) if part in self.PARTS}
        folders = folders or {"train": "images"}
        folders.setdefault("train", "images")
        folders.setdefault("val", folders["train"])
        write_file(self.out / "data.yaml", data_yaml(self.classes, folders).encode())


class Masks:
    """images/, masks/<stem>.png (indices, 255 void), labels.json (table for `import masks`), SageMaker's label maps."""

    def __init__(self, out: Path, classes: Sequence[str], *, polygons: bool) -> None:
        self.out, self.classes = out, classes
        palette = bytearray(b"\xff" * 768)
        for index in range(1, len(classes) + 1):
            palette[3 * index : 3 * index + 3] = bytes.fromhex(class_color(index)[1:])
        palette[3 * VOID :] = bytes.fromhex(VOID_COLOR[1:])
        self.palette = bytes(palette)
        self.regions, self.losses = 0, list[Loss]()
        self.has_void = False

    def add(self, item: Item) -> None:
        height, width = item.mask.shape
        self.has_void |= bool((item.mask == VOID).any())
        body = encode_palette_png(np.ascontiguousarray(item.mask), width, height, palette=self.palette)
        write_file(self.out / "masks" / item.split / f"{item.stem}.png", body)

    def finish(self) -> None:
        for part in ("train", "validation"):
            document = json.dumps(label_map_for(len(self.classes))).encode()
            write_file(self.out / "label_map" / f"{part}_label_map.json", document)
        names = json.dumps({"classes": ["background", *self.classes]}, indent=1)
        write_file(self.out / "classes.json", names.encode())
        table = {"background": 0, **{name: i for i, name in enumerate(self.classes, 1)}, VOID_NAME: VOID}
        write_file(self.out / "labels.json", json.dumps(table, indent=1, ensure_ascii=False).encode())


class Cvat:
    """annotations.xml ("CVAT for images 1.1", parts as subsets), images/. Masks are exact; void is a label."""

    def __init__(self, out: Path, classes: Sequence[str], *, polygons: bool) -> None:
        self.out, self.classes, self.polygons = out, classes, polygons
        self.images: list[str] = []
        self.has_void = False
        self.regions, self.losses = 0, list[Loss]()

    def add(self, item: Item) -> None:
        self.has_void |= bool((item.mask == VOID).any())
        named = [*enumerate(self.classes, 1), (VOID, VOID_NAME)]
        found = image_element(
            len(self.images),
            item.file_name,
            item.mask,
            classes=named,
            subset=item.split,
            polygons=self.polygons,
        )
        self.images.append(found.text)
        self.regions += found.regions
        if found.cut:
            reason = "part of a region with holes, which was divided: CVAT's polygons cannot have holes"
            self.losses.append(Loss("region", reason, item.file_name, found.cut, "note"))

    def finish(self) -> None:
        names = [*self.classes, *([VOID_NAME] if self.has_void else [])]
        colors = [*(class_color(i) for i in range(1, len(self.classes) + 1)), VOID_COLOR]
        head = xml_head(names, colors[: len(names)])
        write_file(self.out / "annotations.xml", "".join([head, *self.images, "</annotations>\n"]).encode())


FORMATS: dict[str, type[Any]] = {"coco": Coco, "yolo": Yolo, "masks": Masks, "cvat": Cvat}


def write_file(path: Path, body: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(body)
