"""Reader of YOLO-seg labels: one line per region, `class x1 y1 x2 y2 ...`, coordinates as fractions of the image size.

Source: Ultralytics documentation, "Instance segmentation datasets format": classes are numbered from 0, without
background; an image without a label file is background; `images/` becomes `labels/` in the path of a label file.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from gtseg.core.account import Loss, merge_losses
from gtseg.core.images.formats import IMAGE_SUFFIXES
from gtseg.core.labeling.class_names import arrange_names
from gtseg.core.output_names import fold
from gtseg.errors import ManifestError, MaskError, SettingsError

from .annotations import AnnotatedImage, AnnotationSet, Shape, parse_ring
from .files import list_files, read_text
from .regions import ring_area

NON_LABEL_FILES = {
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
"""Text files that are not label files, unless an image has the same name."""
YAML_NAMES = ("data.yaml", "data.yml", "dataset.yaml", "dataset.yml")


def read_yolo(
    folder: Path, labels: Path | None = None, *, names: Sequence[str] = (), merge: bool | None = None
) -> AnnotationSet:
    """Read the labels of a data set (with `data.yaml`), or of a folder of label files for a folder of images.

    `names`: class names from 0; the default is those of `data.yaml` or `classes.txt`. Raises SettingsError if there are
    no class names, ManifestError for an invalid `data.yaml`, or if no label file matches an image.
    """
    root = labels or folder
    _reject_poses(folder)
    given = tuple(names) or _names_of(folder) or (_names_of(root) if labels else ())
    if not given:
        raise SettingsError(f"{folder}: no data.yaml or classes.txt with class names: specify them, --labels a,b")
    arranged = arrange_names(given, merge=merge)
    index = [arranged.index[name] for name in given]
    images = list_files(folder, IMAGE_SUFFIXES)
    texts = list_files(root, {".txt"}, unit="label file")
    losses: list[Loss] = list(texts.losses)
    pairing = _pair(folder, root, images.files, texts.files)
    paired, unlabeled = pairing.files, pairing.without
    used = Counter(paired.values())
    files = [path for path in texts.files if path in used or path.name.lower() not in NON_LABEL_FILES]
    losses += [
        Loss("image", "label file shared with another image", f"{image} with {file}", kind="note")
        for image, file in paired.items()
        if used[file] > 1
    ]
    annotated, total = [], 0
    shapes: tuple[Shape, ...]
    for path in images.files:
        name, problem = path.relative_to(folder).as_posix(), pairing.ambiguous.get(path, "")
        shapes, count = (), 0
        if path in paired:
            unreadable: list[Loss] = []
            shapes, count = _shapes_of(paired[path], index, losses, unreadable)
            problem = unreadable[0].reason if unreadable else ""
            if count and not shapes and not problem:
                problem = f"no line of {paired[path]} can be drawn; not imported as background"
        total += count
        annotated.append(AnnotatedImage(name, shapes, relative=True, problem=problem))
    if unlabeled:
        reason = "no label file; imported as background, as defined by YOLO"
        losses.append(Loss("image", reason, str(unlabeled[0]), len(unlabeled), "note"))
    for path in sorted(set(files) - used.keys()):
        losses.append(Loss("label file", "no image with its name", str(path)))
        total += (lost := len(_lines(path, [])))
        if lost:
            losses.append(Loss("annotation", "in a label file without an image", str(path), lost))
    if files and not paired:
        raise ManifestError(f"{root}: no label file, such as {files[0].name}, has the name of an image in {folder}")
    return AnnotationSet("yolo", str(root), arranged.classes, tuple(annotated), total, merge_losses(losses))


def _names_of(folder: Path) -> tuple[str, ...]:
    for name in YAML_NAMES:
        if (path := folder / name).is_file():
            return _names_of_yaml(path)
    for name in ("classes.txt", "obj.names", "labels/classes.txt"):
        if (path := folder / name).is_file():
            return tuple(line.strip() for line in read_text(path, "class names").splitlines() if line.strip())
    return ()


def _names_of_yaml(path: Path) -> tuple[str, ...]:
    document = _read_yaml(path)
    names = document.get("names") if isinstance(document, dict) else None
    if isinstance(names, dict):
        names = _by_number(path, names)
    if not isinstance(names, list) or not names:
        raise ManifestError(f"{path}: `names` with the class names is missing")
    for number, name in enumerate(names):
        if not isinstance(name, str):
            raise ManifestError(f"{path}: the name of class {number} is {name!r} in YAML: put it in quotes")
    count = document.get("nc")
    if count is not None and count != len(names):
        raise ManifestError(f"{path}: nc is {count!r}, but `names` has {len(names)}: {', '.join(names[:8])}")
    return tuple(names)


def _by_number(path: Path, names: dict[Any, Any]) -> list[Any]:
    """Return the names in the order of their numbers, which must be 0, 1, 2, ..."""
    numbers = [int(key) for key in names if str(key).isdecimal()]
    if len(numbers) < len(names):
        raise ManifestError(f"{path}: the keys of `names` must be numbers")
    if sorted(numbers) != list(range(len(numbers))):
        raise ManifestError(f"{path}: the keys of `names` must be 0, 1, 2, ..., not {list(names)[:8]}")
    return [name for _, name in sorted(zip(numbers, names.values(), strict=True), key=lambda item: item[0])]


def _read_yaml(path: Path) -> Any:
    """Return the content of a YAML file. Raises ManifestError if it is invalid, or a key is repeated."""
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
                if repeated := [key for key, count in keys.items() if count > 1]:
                    raise ManifestError(f"{path}: the key {repeated[0]!r} is repeated: keep one")
        return yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise ManifestError(f"{path}: not readable YAML: {' '.join(str(error).split())}") from None


def _reject_poses(folder: Path) -> None:
    """Raise ManifestError if data.yaml has `kpt_shape`: its labels are key points, with the syntax of polygons."""
    for name in YAML_NAMES:
        if (path := folder / name).is_file():
            document = _read_yaml(path)
            if isinstance(document, dict) and document.get("kpt_shape") is not None:
                raise ManifestError(
                    f"{path}: kpt_shape {document['kpt_shape']!r}: the labels are key points (YOLO pose). If they are "
                    "polygons, remove kpt_shape"
                )
            return


@dataclass(frozen=True)
class _Pairing:
    """Label files by image, images without one, and reasons by image with an ambiguous one."""

    files: dict[Path, Path]
    without: list[Path]
    ambiguous: dict[Path, str]


def _pair(folder: Path, root: Path, images: Sequence[Path], files: Sequence[Path]) -> _Pairing:
    """Pair by Ultralytics' rule, then by equal path, then by equal stem; exact names before case-folded ones.

    A file that a rule has assigned to an image is not available to later rules.
    """
    paired: dict[Path, Path] = {}
    ambiguous: dict[Path, str] = {}
    by_path = {path.relative_to(root).as_posix(): path for path in files}
    for image in images:
        if found := by_path.get(_label_path(image.relative_to(folder))):
            paired[image] = found
    rules: list[tuple[Callable[[Path, Path], str], bool]] = [
        (lambda path, base: _common_path(path.relative_to(base)), True),
        (lambda path, base: fold(_common_path(path.relative_to(base))), False),
        (lambda path, base: path.stem, False),
        (lambda path, base: fold(path.stem), False),
    ]
    for key, may_share in rules:
        assigned = set(paired.values())
        available: dict[str, list[Path]] = {}
        for file in files:
            if file not in assigned:
                available.setdefault(key(file, root), []).append(file)
        remaining = [image for image in images if image not in paired and image not in ambiguous]
        rivals = Counter(key(image, folder) for image in remaining)
        for image in remaining:
            matches = available.get(key(image, folder), [])
            if len(matches) == 1 and (may_share or rivals[key(image, folder)] == 1):
                paired[image] = matches[0]
            elif matches:
                ambiguous[image] = _explain_ambiguous(matches, rivals[key(image, folder)])
    without = [image for image in images if image not in paired and image not in ambiguous]
    return _Pairing(paired, without, ambiguous)


def _explain_ambiguous(files: Sequence[Path], images: int) -> str:
    if len(files) > 1:
        return f"{len(files)} label files match it, such as {files[0]} and {files[1]}"
    return f"{images} images match the label file {files[0]}: rename it to the path and name of its image"


def _label_path(relative: Path) -> str:
    """Return the path of an image's label file by Ultralytics' rule: the last `images` becomes `labels`."""
    parts = list(relative.with_suffix(".txt").parts)
    positions = [position for position, part in enumerate(parts[:-1]) if part == "images"]
    if positions:
        parts[positions[-1]] = "labels"
    return "/".join(parts)


def _common_path(relative: Path) -> str:
    """Return a path without its suffix and without folders named `images` or `labels`."""
    parts = PurePosixPath(relative.as_posix()).with_suffix("").parts
    return "/".join([*(part for part in parts[:-1] if part.lower() not in {"images", "labels"}), *parts[-1:]])


def _lines(path: Path, losses: list[Loss]) -> list[tuple[str, list[str]]]:
    """Return (name, fields) of every line that is not empty."""
    try:
        text = read_text(path, "YOLO labels")
    except ManifestError as error:
        losses.append(Loss("label file", str(error), str(path)))
        return []
    return [(f"line {n} of {path}", line.split()) for n, line in enumerate(text.splitlines(), 1) if line.strip()]


def _shapes_of(
    path: Path, index: Sequence[int], losses: list[Loss], unreadable: list[Loss]
) -> tuple[tuple[Shape, ...], int]:
    """Return the shapes of a label file by decreasing area, Ultralytics' drawing order, and its number of lines."""
    lines = _lines(path, unreadable)
    shapes: list[tuple[float, Shape]] = []
    for name, fields in lines:
        try:
            shape = _parse_line(name, fields, index)
            shapes.append((ring_area([*shape.rings[0], shape.rings[0][0]]), shape))
        except MaskError as error:
            losses.append(Loss("annotation", str(error), name))
    return tuple(shape for _, shape in sorted(shapes, key=lambda item: -item[0])), len(lines)


def _parse_line(name: str, fields: Sequence[str], index: Sequence[int]) -> Shape:
    try:
        number = float(fields[0])
    except ValueError:
        raise MaskError("line that does not begin with a class number") from None
    if not number.is_integer() or not 0 <= number < len(index):
        raise MaskError(f"class number without a name (the names have 0 to {len(index) - 1})")
    if len(fields) == 5:
        raise MaskError("bounding box, which is not a mask")
    ring = parse_ring(fields[1:])
    if any(not -0.01 <= value <= 1.01 for point in ring for value in point):
        raise MaskError("coordinates outside 0 to 1: they must be fractions of the image's width and height")
    return Shape(name, index[int(number)], (ring,))
