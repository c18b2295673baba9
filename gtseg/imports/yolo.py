"""YOLO-seg labels from masks and back: one line per region, `class x1 y1 x2 y2 ...`, coordinates in 0..1 of the image.

Source: Ultralytics documentation, "Instance segmentation datasets format": classes count from 0, there is no background, an
image without a label file is background, and `images/` becomes `labels/` in a label file's path. Outlines run along pixel
edges and are exact; the format knows no holes, so that a region with holes is cut through them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gtseg.core.account import Loss, merge_losses
from gtseg.core.images.kinds import IMAGE_SUFFIXES
from gtseg.core.labeling.class_names import arrange_names
from gtseg.core.naming import fold
from gtseg.errors import ManifestError, MaskError, SettingsError

from .annotations import AnnotatedImage, AnnotationSet, Shape, ring_of
from .files import list_files, read_text
from .regions import pieces, ring_area

__all__ = ["YoloLabel", "read_yolo", "to_yolo"]

NO_LABELS = {"classes.txt", "labels.txt", "obj.names", "notes.txt", "readme.txt", "train.txt", "val.txt", "test.txt",
             "readme.dataset.txt", "readme.roboflow.txt", "license.txt"}  # fmt: skip
"""Text files beside labels that hold none."""


@dataclass(frozen=True)
class YoloLabel:
    """The text of a label file, its number of lines, and how many of them are parts of a region with holes."""

    text: str
    lines: int
    cut: int


def to_yolo(mask: NDArray[np.uint8], classes: int) -> YoloLabel:
    """(H, W) uint8 class indices -> the text of one label file."""
    height, width = mask.shape
    lines, cut = [], 0
    for index in range(1, classes + 1):
        for piece in pieces(mask == index) if (mask == index).any() else []:
            cut += piece.cut
            points = " ".join(f"{x / width:.8g} {y / height:.8g}" for x, y in piece.ring[:-1])
            lines.append(f"{index - 1} {points}\n")
    return YoloLabel("".join(lines), len(lines), cut)


def read_yolo(
    folder: Path, labels: Path | None = None, *, names: Sequence[str] = (), merge: bool | None = None
) -> AnnotationSet:
    """The labels of a data set's folder (with `data.yaml`), or of a folder of label files beside one of images.

    `names` of the classes from 0; without them those of `data.yaml`, or of `classes.txt`.
    """
    root = labels or folder
    given = tuple(names) or _names_of(folder) or (_names_of(root) if labels else ())
    if not given:
        raise SettingsError(
            f"{folder}: no data.yaml and no classes.txt names the classes: give them, --labels a,b"
        )
    arranged = arrange_names(given, merge=merge)
    index = [arranged.index[name] for name in given]
    images = list_files(folder, IMAGE_SUFFIXES)
    texts = list_files(root, {".txt"}, unit="label file")
    files = [path for path in texts.files if path.name.lower() not in NO_LABELS]
    losses: list[Loss] = list(texts.losses)
    paired, unlabeled = _pair(folder, root, images.files, files)
    annotated, came = [], 0
    shapes: tuple[Shape, ...]
    for path in images.files:
        name, problem = path.relative_to(folder).as_posix(), ""
        shapes, count = (), 0
        if path in paired:
            unreadable: list[Loss] = []
            shapes, count = _shapes_of(paired[path], index, losses, unreadable)
            problem = unreadable[0].reason if unreadable else ""
        came += count
        annotated.append(AnnotatedImage(name, shapes, relative=True, problem=problem))
    if unlabeled:
        words = "no label file: background, as YOLO means it"
        losses.append(Loss("image", words, str(unlabeled[0]), len(unlabeled), "note"))
    for path in sorted(set(files) - set(paired.values())):
        losses.append(Loss("label file", "no image of its name", str(path)))
        came += (lost := len(_lines(path, [])))
        if lost:
            losses.append(Loss("annotation", "its label file has no image", str(path), lost))
    if files and not paired:
        raise ManifestError(
            f"{root}: no label file has an image of its name in {folder}, such as {files[0].name}"
        )
    return AnnotationSet("yolo", str(root), arranged.classes, tuple(annotated), came, merge_losses(losses))


def _names_of(folder: Path) -> tuple[str, ...]:
    for name in ("data.yaml", "data.yml", "dataset.yaml", "dataset.yml"):
        if (path := folder / name).is_file():
            return _names_of_yaml(path)
    for name in ("classes.txt", "obj.names", "labels/classes.txt"):
        if (path := folder / name).is_file():
            return tuple(line.strip() for line in read_text(path, "class names").splitlines() if line.strip())
    return ()


def _names_of_yaml(path: Path) -> tuple[str, ...]:
    import yaml

    try:
        document = yaml.safe_load(read_text(path, "YOLO's data.yaml"))
    except (yaml.YAMLError, RecursionError) as error:
        raise ManifestError(f"{path}: not readable YAML: {' '.join(str(error).split())}") from None
    names = document.get("names") if isinstance(document, dict) else None
    if isinstance(names, dict):
        try:
            numbered = {int(key): str(name) for key, name in names.items()}
        except (TypeError, ValueError):
            raise ManifestError(f"{path}: the keys of `names` are no numbers") from None
        if sorted(numbered) != list(range(len(numbered))):
            raise ManifestError(
                f"{path}: the classes of `names` are not numbered 0, 1, 2, ...: {sorted(numbered)[:8]}"
            )
        return tuple(numbered[i] for i in range(len(numbered)))
    if isinstance(names, list) and names:
        return tuple(map(str, names))
    raise ManifestError(f"{path}: no `names` in it, which number the classes")


def _pair(
    folder: Path, root: Path, images: Sequence[Path], files: Sequence[Path]
) -> tuple[dict[Path, Path], list[Path]]:
    """image -> label file, and the images without one: `images/` becomes `labels/`, else the same place, else the same stem."""
    by_place = {_place(path.relative_to(root)): path for path in files}
    by_stem: dict[str, list[Path]] = {}
    for path in files:
        by_stem.setdefault(fold(path.stem), []).append(path)
    stems: dict[str, int] = {}
    for path in images:
        stems[fold(path.stem)] = stems.get(fold(path.stem), 0) + 1
    paired, without = {}, []
    for path in images:
        found = by_place.get(_place(path.relative_to(folder)))
        alone = by_stem.get(fold(path.stem), [])
        if found is None and len(alone) == 1 and stems[fold(path.stem)] == 1:
            found = alone[0]
        if found is None:
            without.append(path)
        else:
            paired[path] = found
    return paired, without


def _place(relative: Path) -> str:
    """A path without its suffix and without `images` or `labels` in it."""
    parts = PurePosixPath(relative.as_posix()).with_suffix("").parts
    return fold("/".join(part for part in parts if part.lower() not in {"images", "labels"}))


def _lines(path: Path, losses: list[Loss]) -> list[tuple[str, list[str]]]:
    """(name, fields) of every line that is not empty."""
    try:
        text = read_text(path, "YOLO's labels")
    except ManifestError as error:
        losses.append(Loss("label file", str(error), str(path)))
        return []
    return [
        (f"line {n} of {path}", line.split()) for n, line in enumerate(text.splitlines(), 1) if line.strip()
    ]


def _shapes_of(
    path: Path, index: Sequence[int], losses: list[Loss], unreadable: list[Loss]
) -> tuple[tuple[Shape, ...], int]:
    """The shapes of a label file, the largest first as Ultralytics draws them, and how many lines it has."""
    lines = _lines(path, unreadable)
    shapes: list[tuple[float, Shape]] = []
    for name, fields in lines:
        try:
            shape = _shape(name, fields, index)
            shapes.append((ring_area([*shape.rings[0], shape.rings[0][0]]), shape))
        except MaskError as error:
            losses.append(Loss("annotation", str(error), name))
    return tuple(shape for _, shape in sorted(shapes, key=lambda item: -item[0])), len(lines)


def _shape(name: str, fields: Sequence[str], index: Sequence[int]) -> Shape:
    try:
        number = float(fields[0])
    except ValueError:
        raise MaskError("a line that does not begin with a class number") from None
    if not number.is_integer() or not 0 <= number < len(index):
        raise MaskError(f"of a class that the names do not have (0 to {len(index) - 1})")
    if len(fields) == 5:
        raise MaskError("a box and no outline: boxes are no masks")
    ring = ring_of(fields[1:])
    if any(not -0.01 <= value <= 1.01 for point in ring for value in point):
        raise MaskError("coordinates beyond 0..1: YOLO's are parts of the image's width and height")
    return Shape(name, index[int(number)], (ring,))


def data_yaml(classes: Sequence[str], parts: dict[str, str]) -> str:
    """The text of a `data.yaml`: class names from 0, and the folders of the parts (train, val, test)."""
    import json

    folders: dict[str, Any] = {key: parts[key] for key in ("train", "val", "test") if key in parts}
    lines = ["path: .", *(f"{key}: {value}" for key, value in folders.items()), "names:"]
    return "\n".join([*lines, *(f"  {i}: {json.dumps(name)}" for i, name in enumerate(classes))]) + "\n"
