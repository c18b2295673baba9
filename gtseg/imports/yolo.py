"""YOLO-seg labels from masks and back: one line per region, `class x1 y1 x2 y2 ...`, coordinates in 0..1 of the image.

Source: Ultralytics documentation, "Instance segmentation datasets format": classes count from 0, there is no background, an
image without a label file is background, and `images/` becomes `labels/` in a label file's path. Outlines run along pixel
edges and are exact; the format knows no holes, so that a region with holes is cut through them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gtseg.core.account import Loss, merge_losses
from gtseg.core.images.formats import IMAGE_SUFFIXES
from gtseg.core.labeling.class_names import arrange_names
from gtseg.core.output_names import fold
from gtseg.errors import ManifestError, MaskError, SettingsError

from .annotations import AnnotatedImage, AnnotationSet, Shape, ring_of
from .files import list_files, read_text
from .regions import pieces, ring_area

NO_LABELS = {
    "classes.txt",
    "labels.txt",
    "obj.names",
    "notes.txt",
    "readme.txt",
    "train.txt",
    "val.txt",
    "test.txt",
    "readme.dataset.txt",
    "readme.roboflow.txt",
    "license.txt",
}
"""Text files beside labels that hold none, unless an image has their name."""


YAML_NAMES = ("data.yaml", "data.yml", "dataset.yaml", "dataset.yml")


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
    _refuse_poses(folder)
    given = tuple(names) or _names_of(folder) or (_names_of(root) if labels else ())
    if not given:
        raise SettingsError(f"{folder}: no data.yaml and no classes.txt names the classes: give them, --labels a,b")
    arranged = arrange_names(given, merge=merge)
    index = [arranged.index[name] for name in given]
    images = list_files(folder, IMAGE_SUFFIXES)
    texts = list_files(root, {".txt"}, unit="label file")
    losses: list[Loss] = list(texts.losses)
    pairing = _pair(folder, root, images.files, texts.files)
    paired, unlabeled = pairing.files, pairing.without
    own = set(paired.values())
    files = [path for path in texts.files if path in own or path.name.lower() not in NO_LABELS]
    served = Counter(paired.values())
    losses += [
        Loss("image", "its label file serves another image, too", f"{image} with {file}", kind="note")
        for image, file in paired.items()
        if served[file] > 1
    ]
    annotated, came = [], 0
    shapes: tuple[Shape, ...]
    for path in images.files:
        name, problem = path.relative_to(folder).as_posix(), pairing.ambiguous.get(path, "")
        shapes, count = (), 0
        if path in paired:
            unreadable: list[Loss] = []
            shapes, count = _shapes_of(paired[path], index, losses, unreadable)
            problem = unreadable[0].reason if unreadable else ""
            if count and not shapes and not problem:
                problem = f"no line of {paired[path]} can be drawn: it is no background"
        came += count
        annotated.append(AnnotatedImage(name, shapes, relative=True, problem=problem))
    if unlabeled:
        words = "no label file: background, as YOLO means it"
        losses.append(Loss("image", words, str(unlabeled[0]), len(unlabeled), "note"))
    for path in sorted(set(files) - own):
        losses.append(Loss("label file", "no image of its name", str(path)))
        came += (lost := len(_lines(path, [])))
        if lost:
            losses.append(Loss("annotation", "its label file has no image", str(path), lost))
    if files and not paired:
        raise ManifestError(f"{root}: no label file has an image of its name in {folder}, such as {files[0].name}")
    return AnnotationSet("yolo", str(root), arranged.classes, tuple(annotated), came, merge_losses(losses))


def _names_of(folder: Path) -> tuple[str, ...]:
    for name in YAML_NAMES:
        if (path := folder / name).is_file():
            return _names_of_yaml(path)
    for name in ("classes.txt", "obj.names", "labels/classes.txt"):
        if (path := folder / name).is_file():
            return tuple(line.strip() for line in read_text(path, "class names").splitlines() if line.strip())
    return ()


def _names_of_yaml(path: Path) -> tuple[str, ...]:
    document = _yaml_of(path)
    names = document.get("names") if isinstance(document, dict) else None
    if isinstance(names, dict):
        names = _in_order(path, names)
    if not isinstance(names, list) or not names:
        raise ManifestError(f"{path}: no `names` in it, which number the classes")
    for number, name in enumerate(names):
        if not isinstance(name, str):
            raise ManifestError(
                f"{path}: the name of class {number} is {name!r} to YAML and no text: write it in quotes"
            )
    count = document.get("nc")
    if count is not None and count != len(names):
        raise ManifestError(f"{path}: nc is {count!r}, but `names` has {len(names)}: {', '.join(names[:8])}")
    return tuple(names)


def _in_order(path: Path, names: dict[Any, Any]) -> list[Any]:
    """The names by their numbers, which must be 0, 1, 2, ..."""
    numbers = [int(key) if str(key).isdecimal() else None for key in names]
    if None in numbers:
        raise ManifestError(f"{path}: the keys of `names` are no numbers")
    if sorted(filter(lambda n: n is not None, numbers)) != list(range(len(numbers))):  # type: ignore[type-var]
        raise ManifestError(f"{path}: the classes of `names` are not numbered 0, 1, 2, ...: {list(names)[:8]}")
    return [name for _, name in sorted(zip(numbers, names.values(), strict=True), key=lambda item: item[0] or 0)]


def _yaml_of(path: Path) -> Any:
    """A data.yaml's content. Raises ManifestError where it is no YAML, or where a key stands twice."""
    import yaml

    text = read_text(path, "YOLO's data.yaml")
    try:
        root = yaml.compose(text, yaml.SafeLoader)
        for node in [
            root,
            *(value for _, value in getattr(root, "value", []) if isinstance(root, yaml.MappingNode)),
        ]:
            if isinstance(node, yaml.MappingNode):
                keys = Counter(key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode))
                if twice := [key for key, count in keys.items() if count > 1]:
                    raise ManifestError(f"{path}: the key {twice[0]!r} stands twice in it: keep one")
        return yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise ManifestError(f"{path}: not readable YAML: {' '.join(str(error).split())}") from None


def _refuse_poses(folder: Path) -> None:
    """Raise ManifestError where a data.yaml says that the labels are key points (`kpt_shape`), which look like outlines."""
    for name in YAML_NAMES:
        if (path := folder / name).is_file():
            document = _yaml_of(path)
            if isinstance(document, dict) and document.get("kpt_shape") is not None:
                raise ManifestError(
                    f"{path}: kpt_shape {document['kpt_shape']!r}: its labels are key points (YOLO pose), no outlines; "
                    "import labels of segmentation, or remove kpt_shape if they are"
                )
            return


@dataclass(frozen=True)
class _Pairing:
    """The label file of each image, the images without one, and why others have none that is surely theirs."""

    files: dict[Path, Path]
    without: list[Path]
    ambiguous: dict[Path, str]


def _pair(folder: Path, root: Path, images: Sequence[Path], files: Sequence[Path]) -> _Pairing:
    """`images/` becomes `labels/`, else the same place, else the same stem; to the letter before case-folded.

    A file that an earlier rule gave to an image is no other's by a later one.
    """
    paired: dict[Path, Path] = {}
    ambiguous: dict[Path, str] = {}
    swapped = {path.relative_to(root).as_posix(): path for path in files}
    for image in images:
        if found := swapped.get(_swap(image.relative_to(folder))):
            paired[image] = found
    rules: list[tuple[Callable[[Path, Path], str], bool]] = [
        (lambda path, base: _place(path.relative_to(base)), True),
        (lambda path, base: fold(_place(path.relative_to(base))), False),
        (lambda path, base: path.stem, False),
        (lambda path, base: fold(path.stem), False),
    ]
    for key, may_share in rules:
        taken = set(paired.values())
        free: dict[str, list[Path]] = {}
        for file in files:
            if file not in taken:
                free.setdefault(key(file, root), []).append(file)
        left = [image for image in images if image not in paired and image not in ambiguous]
        rivals = Counter(key(image, folder) for image in left)
        for image in left:
            found_all = free.get(key(image, folder), [])
            if len(found_all) == 1 and (may_share or rivals[key(image, folder)] == 1):
                paired[image] = found_all[0]
            elif found_all:
                ambiguous[image] = _ambiguous(found_all, rivals[key(image, folder)])
    without = [image for image in images if image not in paired and image not in ambiguous]
    return _Pairing(paired, without, ambiguous)


def _ambiguous(files: Sequence[Path], images: int) -> str:
    if len(files) > 1:
        return f"{len(files)} label files could be its own: {files[0]}, {files[1]}"
    return f"{images} images could have the label file {files[0]}: give it the path and name of its image"


def _swap(relative: Path) -> str:
    """The path of an image's label file by Ultralytics' rule: the last `images` becomes `labels`."""
    parts = list(relative.with_suffix(".txt").parts)
    places = [place for place, part in enumerate(parts[:-1]) if part == "images"]
    if places:
        parts[places[-1]] = "labels"
    return "/".join(parts)


def _place(relative: Path) -> str:
    """A path without its suffix and without `images` or `labels` in it."""
    parts = PurePosixPath(relative.as_posix()).with_suffix("").parts
    return "/".join([*(part for part in parts[:-1] if part.lower() not in {"images", "labels"}), *parts[-1:]])


def _lines(path: Path, losses: list[Loss]) -> list[tuple[str, list[str]]]:
    """(name, fields) of every line that is not empty."""
    try:
        text = read_text(path, "YOLO's labels")
    except ManifestError as error:
        losses.append(Loss("label file", str(error), str(path)))
        return []
    return [(f"line {n} of {path}", line.split()) for n, line in enumerate(text.splitlines(), 1) if line.strip()]


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
