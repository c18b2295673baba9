"""Label Studio's JSON: tasks with polygons, brushes and ellipses, as its "JSON" and "JSON-MIN" exports write them.

Sources: Label Studio documentation, "Export annotations" and "Task format" (coordinates in percent of the image);
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

from .annotations import AnnotatedImage, AnnotationSet, Ring, Shape, ring_of
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
NO_REGIONS = {
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
"""Results that say something about a task or a region and are none."""
GEOMETRY = ("points", "rle", "width", "x", "vertices", "imageDataURL")
IMAGE_SUFFIX = (".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp", ".gif")


def read_label_studio(path: Path, *, merge: bool | None = None) -> AnnotationSet:
    """The tasks of an export. Raises ManifestError where it is none."""
    try:
        tasks = json.loads(read_text(path, "Label Studio's JSON"))
    except (ValueError, RecursionError) as error:
        raise ManifestError(f"{path}: not readable JSON: {error}") from error
    if isinstance(tasks, dict) and "data" in tasks:
        tasks = [tasks]
    if not isinstance(tasks, list) or not tasks or not all(isinstance(task, dict) for task in tasks):
        raise ManifestError(f"{path}: no export of Label Studio: want its JSON or JSON-MIN, a list of tasks")
    losses: list[Loss] = []
    read = [_read_task(task, number, losses) for number, task in enumerate(tasks, 1)]
    images = [image for task in read for image in task]
    if not images:
        raise ManifestError(f"{path}: no task of it has labels: {losses[0].text if losses else 'it is empty'}")
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
    """The task's images with their regions; several only where it has several images, whose regions `to_name` tells apart."""
    where = f"task {task.get('id', number)}"
    is_small = "data" not in task  # JSON-MIN: the task's data and the regions by the names of their tags
    names = _images_of(task if is_small else task["data"])
    if not names:
        losses.append(Loss("task", "no image in its data", where))
        return []
    results = _results_small(task) if is_small else _results_of(task, where, losses)
    if results is None:
        name = next(iter(names.values()))
        losses.append(Loss("task", "nobody has labeled it", f"{name} ({where})", kind="note"))
        return []
    drawn = [result for result in results if _is_region(result, results)]
    owners = _owners(drawn, names)
    mine: dict[str, list[tuple[str, Mapping[str, Any]]]] = {}
    for place, (result, owner) in enumerate(zip(drawn, owners, strict=True), 1):
        called = f"region {result.get('id', place) if isinstance(result, dict) else place} of {where}"
        if not isinstance(result, dict):
            losses.append(Loss("annotation", "a result that is no object", called))
        elif owner is None:
            losses.append(Loss("annotation", SEVERAL, f"{called} (to_name {result.get('to_name')!r})"))
        else:
            mine.setdefault(owner, []).append((called, result))
    if len(names) == 1:
        key = next(iter(names))
        if drawn and key not in mine:
            return [_Image(names[key], None, (), "none of its regions can be read: it is no background")]
        return [_read_image(names[key], mine.get(key, []), losses)]
    if bare := [name for key, name in names.items() if key not in mine]:
        words = "of a task with several, without a region of its own: left out"
        losses.append(Loss("image", words, f"{bare[0]} of {where}", len(bare), "note"))
    return [_read_image(names[key], found, losses) for key, found in mine.items()]


SEVERAL = (
    "on a task with several images, and to_name is the name of none in its data: "
    'name the Image tag in the labeling interface as its data is (name="left" value="$left")'
)


def _owners(results: Sequence[Any], names: Mapping[str, str]) -> list[str | None]:
    """The key of the image of each region; None where nothing says which of several it is on."""
    aims = {
        str(result.get("to_name"))
        for result in results
        if isinstance(result, dict) and any(key in result.get("value", result) for key in GEOMETRY)
    }
    if len(names) == 1 and len(aims) < 2:
        return [next(iter(names))] * len(results)
    return [
        str(result["to_name"]) if isinstance(result, dict) and str(result.get("to_name")) in names else None
        for result in results
    ]


def _read_image(name: str, results: Sequence[tuple[str, Mapping[str, Any]]], losses: list[Loss]) -> _Image:
    regions, sizes = [], set()
    for called, result in results:
        try:
            value = result.get("value", result)
            labels = _labels_of(value)
            if len(labels) > 1:
                losses.append(
                    Loss(
                        "annotation",
                        "several labels on one region: the first is taken",
                        called,
                        kind="outside",
                    )
                )
            size = _size_of(result, value)
            rings, runs = _outline(result, value, size)
            regions.append(_Region(labels[0], called, rings, runs))
            if size:
                sizes.add(size)
        except MaskError as error:
            losses.append(Loss("annotation", str(error), called))
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
            losses.append(Loss("annotation", "values that are missing or no numbers", called))
    problem = "none of its regions can be read: it is no background" if results and not regions else ""
    return _Image(name, sizes.pop() if len(sizes) == 1 else None, tuple(regions), problem)


def _images_of(data: Any) -> dict[str, str]:
    """key -> path or address of each image in a task's data; `image` is one whatever it looks like."""
    if not isinstance(data, Mapping):
        return {}
    return {
        str(key): value
        for key, value in data.items()
        if isinstance(value, str)
        and key not in {"created_at", "updated_at"}
        and (key == "image" or value.partition("?")[0].lower().endswith(IMAGE_SUFFIX) or "?d=" in value)
    }


def _results_of(task: Mapping[str, Any], where: str, losses: list[Loss]) -> list[Any] | None:
    """The regions of the annotation that counts: the ground truth, else the newest that was not skipped."""
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
        words = "another annotation of its task is newer or the ground truth"
        losses.append(Loss("other annotation", words, f"annotation {other.get('id')} of {where}", kind="outside"))
    results = ranked[-1].get("result")
    return results if isinstance(results, list) else []


def _results_small(task: Mapping[str, Any]) -> list[Any] | None:
    lists = [
        v
        for v in task.values()
        if isinstance(v, list)
        and any(isinstance(r, dict) and (_labels_of(r) or any(key in r for key in GEOMETRY)) for r in v)
    ]
    if lists:
        return [result for found in lists for result in found]
    return None if "annotation_id" not in task and "annotator" not in task else []


def _is_region(result: Any, results: Sequence[Any]) -> bool:
    """Whatever is not known to be none; `<Polygon>` beside `<Labels>` gives two results of one id, of which one has labels."""
    if not isinstance(result, dict):
        return True
    value = result.get("value", result)
    if str(result.get("type", "")) in NO_REGIONS:
        return False
    if "type" not in result and isinstance(value, dict) and NO_REGIONS & value.keys() and not _labels_of(value):
        return False
    if _labels_of(value) or not isinstance(value, dict) or not any(key in value for key in GEOMETRY):
        return True
    own = result.get("id")
    return own is None or not any(
        isinstance(r, dict) and r is not result and r.get("id") == own and _labels_of(r.get("value", r))
        for r in results
    )


def _labels_of(value: Any) -> list[str]:
    if not isinstance(value, dict):
        return []
    keys = [*LABEL_KEYS, *(key for key in value if key.endswith("labels") and key not in LABEL_KEYS)]
    return next(([str(v) for v in value[k]] for k in keys if isinstance(value.get(k), list) and value[k]), [])


def _size_of(result: Mapping[str, Any], value: Mapping[str, Any]) -> tuple[int, int] | None:
    """(H, W) that Label Studio saw. Raises MaskError where the picture was turned in the editor."""
    height = result.get("original_height", value.get("original_height"))
    width = result.get("original_width", value.get("original_width"))
    if float(result.get("image_rotation", value.get("image_rotation")) or 0) % 360:
        raise MaskError("drawn on an image that was turned in Label Studio: turn the image itself")
    return (int(height), int(width)) if height and width else None


def _outline(
    result: Mapping[str, Any], value: Mapping[str, Any], size: tuple[int, int] | None
) -> tuple[tuple[Ring, ...], Runs | None]:
    if not _labels_of(value):
        raise MaskError("no label")
    if "rle" in value:
        if size is None:
            raise MaskError("a brush without original_width and original_height")
        return (), Runs(tuple(int(b) for b in value["rle"]), *size, order="brush")
    if "points" in value:
        ring = ring_of(value["points"])
        return (tuple((x / 100, y / 100) for x, y in ring),), None
    if "radiusX" in value:
        return (_ellipse(value, size),), None
    if "width" in value and "x" in value and "points" not in value:
        raise MaskError("a box and no outline: boxes are no masks")
    raise MaskError(f"a region of a kind that is no mask ({result.get('type', 'unknown')})")


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
    return ring_of(ring)
