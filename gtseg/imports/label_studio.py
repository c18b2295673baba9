"""Reader of Label Studio's "JSON" and "JSON-MIN" exports: tasks with polygons, brushes and ellipses.

Sources: Label Studio documentation, "Export annotations" and "Task format" (coordinates in percent of the image size);
label_studio_sdk.converter.brush for the run lengths of brushes.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gtseg.core.account import Loss, merge_losses
from gtseg.core.labeling.class_names import arrange_names
from gtseg.errors import ManifestError, MaskError

from .annotations import AnnotatedImage, AnnotationSet, Ring, Shape, parse_ring
from .files import read_text
from .rle import Runs

LABEL_KEYS = (
    "brushlabels",
    "polygonlabels",
    "ellipselabels",
    "rectanglelabels",
    "labels",
    "keypointlabels",
    "vectorlabels",
)
NON_REGION_TYPES = {
    "choices",
    "textarea",
    "rating",
    "relation",
    "number",
    "taxonomy",
    "datetime",
    "pairwise",
    "ranker",
}
"""Types of results that describe a task or a region."""
GEOMETRY_KEYS = ("points", "rle", "width", "x", "vertices", "imageDataURL")
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp", ".gif")
UNKNOWN_IMAGE = (
    "on a task with several images, and its to_name is not a key of the task's data: "
    'give the Image tag of the labeling interface the name of its data (name="left" value="$left")'
)


def read_label_studio(path: Path, *, merge: bool | None = None) -> AnnotationSet:
    """Read the tasks of an export. Raises ManifestError if the file is not an export, or no task has labels."""
    try:
        tasks = json.loads(read_text(path, "Label Studio's JSON"))
    except (ValueError, RecursionError) as error:
        raise ManifestError(f"{path}: not readable JSON: {error}") from error
    if isinstance(tasks, dict) and "data" in tasks:
        tasks = [tasks]
    if not isinstance(tasks, list) or not tasks or not all(isinstance(task, dict) for task in tasks):
        raise ManifestError(f"{path}: must be a JSON or JSON-MIN export of Label Studio, a list of tasks")
    losses: list[Loss] = []
    read = [_read_task(task, number, losses) for number, task in enumerate(tasks, 1)]
    images = [image for task in read for image in task]
    if not images:
        raise ManifestError(f"{path}: no task has labels: {losses[0].text if losses else 'the list is empty'}")
    names = list(dict.fromkeys(region.label for image in images for region in image.regions))
    arranged = arrange_names(names, merge=merge)
    annotated = tuple(
        AnnotatedImage(
            image.name,
            tuple(Shape(r.name, arranged.index[r.label], r.rings, r.runs) for r in image.regions),
            image.size,
            relative=True,
            problem=image.problem,
        )
        for image in images
    )
    return AnnotationSet(
        "label-studio",
        str(path),
        arranged.classes,
        annotated,
        sum(loss.count for loss in losses if loss.unit == "annotation" and loss.kind == "lost")
        + sum(len(i.regions) for i in images),
        merge_losses(losses),
    )


@dataclass(frozen=True)
class _Region:
    label: str
    name: str
    rings: tuple[Ring, ...]
    runs: Runs | None


@dataclass(frozen=True)
class _Image:
    name: str
    size: tuple[int, int] | None
    regions: tuple[_Region, ...]
    problem: str = ""


def _read_task(task: Mapping[str, Any], number: int, losses: list[Loss]) -> list[_Image]:
    """Return the task's images with their regions; of several images, `to_name` names the one of a region."""
    where = f"task {task.get('id', number)}"
    is_min = "data" not in task  # JSON-MIN has the data at the top level, and regions by the names of their tags
    names = _images_of(task if is_min else task["data"])
    if not names:
        losses.append(Loss("task", "no image in its data", where))
        return []
    results = _min_results(task) if is_min else _results_of(task, where, losses)
    if results is None:
        name = next(iter(names.values()))
        losses.append(Loss("task", "not labeled", f"{name} ({where})", kind="note"))
        return []
    regions = [result for result in results if _is_region(result, results)]
    by_image: dict[str, list[tuple[str, Mapping[str, Any]]]] = {}
    for position, (result, image) in enumerate(zip(regions, _image_keys(regions, names), strict=True), 1):
        name = f"region {result.get('id', position) if isinstance(result, dict) else position} of {where}"
        if not isinstance(result, dict):
            losses.append(Loss("annotation", "result that is not an object", name))
        elif image is None:
            losses.append(Loss("annotation", UNKNOWN_IMAGE, f"{name} (to_name {result.get('to_name')!r})"))
        else:
            by_image.setdefault(image, []).append((name, result))
    if len(names) == 1:
        key = next(iter(names))
        if regions and key not in by_image:
            return [_Image(names[key], None, (), UNREADABLE)]
        return [_read_image(names[key], by_image.get(key, []), losses)]
    if unlabeled := [name for key, name in names.items() if key not in by_image]:
        reason = "no region, in a task with several images; not imported"
        losses.append(Loss("image", reason, f"{unlabeled[0]} of {where}", len(unlabeled), "note"))
    return [_read_image(names[key], found, losses) for key, found in by_image.items()]


UNREADABLE = "none of its regions can be read; not imported as background"


def _image_keys(results: Sequence[Any], names: Mapping[str, str]) -> list[str | None]:
    """Return the key of each region's image, None if it is ambiguous."""
    targets = {
        str(result.get("to_name"))
        for result in results
        if isinstance(result, dict) and any(key in result.get("value", result) for key in GEOMETRY_KEYS)
    }
    if len(names) == 1 and len(targets) < 2:
        return [next(iter(names))] * len(results)
    return [
        str(result["to_name"]) if isinstance(result, dict) and str(result.get("to_name")) in names else None
        for result in results
    ]


def _read_image(name: str, results: Sequence[tuple[str, Mapping[str, Any]]], losses: list[Loss]) -> _Image:
    regions, sizes = [], set()
    for region_name, result in results:
        try:
            value = result.get("value", result)
            labels = _labels_of(value)
            if len(labels) > 1:
                reason = "several labels on a region, of which only the first is imported"
                losses.append(Loss("annotation", reason, region_name, kind="outside"))
            size = _size_of(result, value)
            rings, runs = _outline(result, value, size)
            regions.append(_Region(labels[0], region_name, rings, runs))
            if size:
                sizes.add(size)
        except MaskError as error:
            losses.append(Loss("annotation", str(error), region_name))
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
            losses.append(Loss("annotation", "missing or non-numeric values", region_name))
    problem = UNREADABLE if results and not regions else ""
    return _Image(name, sizes.pop() if len(sizes) == 1 else None, tuple(regions), problem)


def _images_of(data: Any) -> dict[str, str]:
    """Return the paths or URLs of images in a task's data by key; the key `image` always is one."""
    if not isinstance(data, Mapping):
        return {}
    return {
        str(key): value
        for key, value in data.items()
        if isinstance(value, str)
        and key not in {"created_at", "updated_at"}
        and (key == "image" or value.partition("?")[0].lower().endswith(IMAGE_SUFFIXES) or "?d=" in value)
    }


def _results_of(task: Mapping[str, Any], where: str, losses: list[Loss]) -> list[Any] | None:
    """Return the results of the ground truth, else of the newest annotation that was not skipped; None if none is."""
    found = task.get("annotations", task.get("completions"))
    given = [a for a in found if isinstance(a, dict)] if isinstance(found, list) else []
    done = [a for a in given if not a.get("was_cancelled")]
    if not done:
        return None
    ranked = sorted(
        done,
        key=lambda a: (bool(a.get("ground_truth")), str(a.get("updated_at") or a.get("created_at") or "")),
    )
    for other in ranked[:-1]:
        reason = "superseded by a newer annotation of its task, or by the ground truth"
        losses.append(Loss("other annotation", reason, f"annotation {other.get('id')} of {where}", kind="outside"))
    results = ranked[-1].get("result")
    return results if isinstance(results, list) else []


def _min_results(task: Mapping[str, Any]) -> list[Any] | None:
    """Return the results of a task in a JSON-MIN export, None if it is not labeled."""
    lists = [
        v
        for v in task.values()
        if isinstance(v, list)
        and any(isinstance(r, dict) and (_labels_of(r) or any(key in r for key in GEOMETRY_KEYS)) for r in v)
    ]
    if lists:
        return [result for found in lists for result in found]
    return None if "annotation_id" not in task and "annotator" not in task else []


def _is_region(result: Any, results: Sequence[Any]) -> bool:
    """Return whether a result is a region. Results of unknown type are, so that they are reported.

    `<Polygon>` with `<Labels>` produces two results with the same ID, of which only the one with labels is a region.
    """
    if not isinstance(result, dict):
        return True
    value = result.get("value", result)
    if str(result.get("type", "")) in NON_REGION_TYPES:
        return False
    if "type" not in result and isinstance(value, dict) and NON_REGION_TYPES & value.keys() and not _labels_of(value):
        return False
    if _labels_of(value) or not isinstance(value, dict) or not any(key in value for key in GEOMETRY_KEYS):
        return True
    region_id = result.get("id")
    return region_id is None or not any(
        isinstance(r, dict) and r is not result and r.get("id") == region_id and _labels_of(r.get("value", r))
        for r in results
    )


def _labels_of(value: Any) -> list[str]:
    if not isinstance(value, dict):
        return []
    keys = [*LABEL_KEYS, *(key for key in value if key.endswith("labels") and key not in LABEL_KEYS)]
    return next(([str(v) for v in value[k]] for k in keys if isinstance(value.get(k), list) and value[k]), [])


def _size_of(result: Mapping[str, Any], value: Mapping[str, Any]) -> tuple[int, int] | None:
    """Return the (H, W) recorded by Label Studio, None if missing. Raises MaskError if the image was rotated there."""
    height = result.get("original_height", value.get("original_height"))
    width = result.get("original_width", value.get("original_width"))
    if float(result.get("image_rotation", value.get("image_rotation")) or 0) % 360:
        raise MaskError("drawn on an image that was rotated in Label Studio; rotate the image file instead")
    return (int(height), int(width)) if height and width else None


def _outline(
    result: Mapping[str, Any], value: Mapping[str, Any], size: tuple[int, int] | None
) -> tuple[tuple[Ring, ...], Runs | None]:
    if not _labels_of(value):
        raise MaskError("no label")
    if "rle" in value:
        if size is None:
            raise MaskError("brush without original_width and original_height")
        return (), Runs(tuple(int(b) for b in value["rle"]), *size, order="brush")
    if "points" in value:
        ring = parse_ring(value["points"])
        return (tuple((x / 100, y / 100) for x, y in ring),), None
    if "radiusX" in value:
        return (_ellipse(value, size),), None
    if "width" in value and "x" in value and "points" not in value:
        raise MaskError("bounding box, which is not a mask")
    raise MaskError(f"region of a type that is not a mask ({result.get('type', 'unknown')})")


def _ellipse(value: Mapping[str, Any], size: tuple[int, int] | None, *, corners: int = 72) -> Ring:
    x, y, across, down = (float(value[key]) for key in ("x", "y", "radiusX", "radiusY"))
    height, width = size or (1, 1)
    turn = math.radians(float(value.get("rotation") or 0))
    ring = []
    for step in range(corners):
        angle = 2 * math.pi * step / corners
        a, b = across * width * math.cos(angle), down * height * math.sin(angle)
        dx, dy = a * math.cos(turn) - b * math.sin(turn), a * math.sin(turn) + b * math.cos(turn)
        ring.append(((x + dx / width) / 100, (y + dy / height) / 100))
    return parse_ring(ring)
