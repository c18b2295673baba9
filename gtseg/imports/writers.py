"""Masks in the formats that other tools read: one writer a format, fed one image at a time.

A writer keeps what the format needs beside the files: how many regions went out, and what the format cannot hold.
Files of a split lie in folders of its parts (train, validation, test).
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
from gtseg.core.classes import VOID_NAME
from gtseg.core.masks import encode_palette_png

from .coco import MaskedImage, extend_coco, new_coco
from .cvat import image_element, xml_head
from .output_files import VOID_COLOUR, colour_of
from .rasterization import VOID
from .yolo import data_yaml, to_yolo


@dataclass(frozen=True)
class Item:
    """An image to write: its unique stem and suffix, (H, W) uint8 class indices (255 void), and its part of the split."""

    stem: str
    suffix: str
    mask: NDArray[np.uint8]
    split: str = ""

    @property
    def file_name(self) -> str:
        return f"{self.stem}{self.suffix}"


class Writer(Protocol):
    """Writes one format below a folder. `regions` went out; `losses` is what the format cannot hold."""

    regions: int
    losses: list[Loss]

    def __init__(self, out: Path, classes: Sequence[str], *, polygons: bool) -> None: ...
    def add(self, item: Item) -> None: ...
    def finish(self) -> None: ...


class Coco:
    """annotations.json (with a split: annotations/<part>.json), images/.

    Run lengths are exact; outlines too, except that regions with holes stay run lengths. Void is a category of crowds.
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
            words = "holes, so that it stays run lengths: COCO's polygons know none"
            self.losses.append(Loss("region", words, item.file_name, added, "note"))

    def finish(self) -> None:
        for split, document in (self.documents or {"": new_coco(self.classes)}).items():
            name = f"annotations/{split}.json" if split else "annotations.json"
            put(self.out / name, json.dumps(document).encode())


class Yolo:
    """images/, labels/<stem>.txt, data.yaml; exact: a region with holes is cut through them. YOLO knows no void."""

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
            words = "part of a region with holes, which was cut: YOLO's outlines know none"
            self.losses.append(Loss("region", words, item.file_name, label.cut, "note"))
        if void := int((item.mask == VOID).sum()):
            words = "void, which YOLO does not know: background there"
            self.losses.append(Loss("pixel", words, item.file_name, void))
        put(self.out / "labels" / item.split / f"{item.stem}.txt", label.text.encode())

    def finish(self) -> None:
        folders = {self.PARTS[part]: f"images/{part}" for part in sorted(self.parts) if part in self.PARTS}
        folders = folders or {"train": "images"}
        folders.setdefault("train", "images")
        folders.setdefault("val", folders["train"])
        put(self.out / "data.yaml", data_yaml(self.classes, folders).encode())


class Masks:
    """images/, masks/<stem>.png (index PNGs, 255 void), labels.json (a table for `import masks`), SageMaker's label maps."""

    def __init__(self, out: Path, classes: Sequence[str], *, polygons: bool) -> None:
        self.out, self.classes = out, classes
        palette = bytearray(b"\xff" * 768)
        for index in range(1, len(classes) + 1):
            palette[3 * index : 3 * index + 3] = bytes.fromhex(colour_of(index)[1:])
        palette[3 * VOID :] = bytes.fromhex(VOID_COLOUR[1:])
        self.palette = bytes(palette)
        self.regions, self.losses = 0, list[Loss]()
        self.has_void = False

    def add(self, item: Item) -> None:
        height, width = item.mask.shape
        self.has_void |= bool((item.mask == VOID).any())
        body = encode_palette_png(np.ascontiguousarray(item.mask), width, height, palette=self.palette)
        put(self.out / "masks" / item.split / f"{item.stem}.png", body)

    def finish(self) -> None:
        from .mask_colors import label_map_for

        for part in ("train", "validation"):
            document = json.dumps(label_map_for(len(self.classes))).encode()
            put(self.out / "label_map" / f"{part}_label_map.json", document)
        put(
            self.out / "classes.json",
            json.dumps({"classes": ["background", *self.classes]}, indent=1).encode(),
        )
        table = {"background": 0, **{name: i for i, name in enumerate(self.classes, 1)}, VOID_NAME: VOID}
        put(self.out / "labels.json", json.dumps(table, indent=1, ensure_ascii=False).encode())


class Cvat:
    """annotations.xml ("CVAT for images 1.1", the split as subsets), images/. Masks as run lengths, exact; void is a label."""

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
            words = "part of a region with holes, which was cut: CVAT's polygons know none"
            self.losses.append(Loss("region", words, item.file_name, found.cut, "note"))

    def finish(self) -> None:
        names = [*self.classes, *([VOID_NAME] if self.has_void else [])]
        colors = [*(colour_of(i) for i in range(1, len(self.classes) + 1)), VOID_COLOUR]
        head = xml_head(names, colors[: len(names)])
        put(self.out / "annotations.xml", "".join([head, *self.images, "</annotations>\n"]).encode())


FORMATS: dict[str, type[Any]] = {"coco": Coco, "yolo": Yolo, "masks": Masks, "cvat": Cvat}


def put(path: Path, body: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(body)
