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

__all__ = ["read_label_studio"]

LABEL_KEYS = (
    "brushlabels",
    "polygonlabels",
    "ellipselabels",
    "rectanglelabels",
    "labels",
    "keypointlabels",
    "vectorlabels",
)
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
    images = [task for task in read if task is not None]
    if not images:
        raise ManifestError(
            f"{path}: no task of it has labels: {losses[0].text if losses else 'it is empty'}"
        )
    names = list(dict.fromkeys(region.label for image in images for region in image.regions))
    arranged = arrange_names(names, merge=merge)
    annotated = tuple(
        AnnotatedImage(
            image.name,
            tuple(Shape(r.name, arranged.index[r.label], r.rings, r.runs) for r in image.regions),
            image.size,
            relative=True,
        )
        for image in images
    )
    return AnnotationSet(
        "label-studio",
        str(path),
        arranged.classes,
        annotated,
        sum(i.came for i in images),
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
    came: int


def _read_task(task: Mapping[str, Any], number: int, losses: list[Loss]) -> _Image | None:
    where = f"task {task.get('id', number)}"
    is_small = "data" not in task  # JSON-MIN: the task's data and the regions by the names of their tags
    name = _image_of(task if is_small else task["data"])
    if name is None:
        losses.append(Loss("task", "no image in its data", where))
        return None
    results = _results_small(task) if is_small else _results_of(task, where, losses)
    if results is None:
        losses.append(Loss("task", "nobody has labeled it", f"{name} ({where})", kind="note"))
        return None
    regions, sizes = [], set()
    drawn = [result for result in results if _is_region(result, results)]
    for place, result in enumerate(drawn, 1):
        called = f"region {result.get('id', place)} of {where}"
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
        except (KeyError, TypeError, ValueError, AttributeError):
            losses.append(Loss("annotation", "values that are missing or no numbers", called))
    return _Image(name, sizes.pop() if len(sizes) == 1 else None, tuple(regions), len(drawn))


def _image_of(data: Any) -> str | None:
    """The first value that is a path or an address of an image."""
    if not isinstance(data, Mapping):
        return None
    texts = [
        value
        for key, value in data.items()
        if isinstance(value, str) and key not in {"created_at", "updated_at"}
    ]
    if isinstance(data.get("image"), str):
        return str(data["image"])
    return next((t for t in texts if t.partition("?")[0].lower().endswith(IMAGE_SUFFIX) or "?d=" in t), None)


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
        losses.append(
            Loss("other annotation", words, f"annotation {other.get('id')} of {where}", kind="outside")
        )
    results = ranked[-1].get("result")
    return results if isinstance(results, list) else []


def _results_small(task: Mapping[str, Any]) -> list[Any] | None:
    lists = [
        v
        for v in task.values()
        if isinstance(v, list) and any(isinstance(r, dict) and _labels_of(r) for r in v)
    ]
    if lists:
        return [result for found in lists for result in found]
    return None if "annotation_id" not in task and "annotator" not in task else []


def _is_region(result: Any, results: Sequence[Any]) -> bool:
    """A region with labels; `<Polygon>` beside `<Labels>` gives two results of one id, of which one has them."""
    if not isinstance(result, dict) or str(result.get("type", "")) in {
        "choices",
        "textarea",
        "rating",
        "relation",
        "number",
        "taxonomy",
    }:
        return False
    value = result.get("value", result)
    if not isinstance(value, dict) or not any(
        key in value for key in ("points", "rle", "width", "x", "vertices", *LABEL_KEYS)
    ):
        return False
    if _labels_of(value):
        return True
    own = result.get("id")
    return not any(
        isinstance(r, dict) and r is not result and r.get("id") == own and _labels_of(r.get("value", r))
        for r in results
    )


def _labels_of(value: Any) -> list[str]:
    if not isinstance(value, dict):
        return []
    return next(
        ([str(v) for v in value[k]] for k in LABEL_KEYS if isinstance(value.get(k), list) and value[k]), []
    )


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
