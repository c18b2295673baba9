"""A COCO file and its folder of images -> an import."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gtseg.errors import GtsegError, MaskError, StageError

from .coco import from_coco, read_coco
from .journal import Outcome, Report, Skipped, run_tasks
from .mask_folder import read_image_as_jpeg
from .writing import write_pair

__all__ = ["import_coco"]


@dataclass(frozen=True)
class CocoTask:
    folder: Path
    name: str
    path: Path
    document: dict[str, Any]
    classes: int


def import_coco(
    images: Path,
    annotations: Path,
    folder: Path,
    *,
    name: str,
    limit: int | None = None,
    notify: Callable[[int, int], None] = lambda done, total: None,
    workers: int | None = None,
) -> Report:
    """Every image of the COCO file that is in `images`, by its file name or its last part."""
    document = read_coco(annotations)
    classes = tuple(
        str(entry["name"]) for entry in sorted(document["categories"], key=lambda entry: entry["id"])
    )
    by_image: dict[Any, list[dict[str, Any]]] = {}
    for annotation in document["annotations"]:
        by_image.setdefault(annotation["image_id"], []).append(annotation)
    tasks, missing = [], []
    for entry in document["images"][:limit]:
        path = _find(images, str(entry["file_name"]))
        if path is None:
            missing.append(Skipped(str(entry["file_name"]), f"no such image in {images}"))
            continue
        own = {
            "images": [entry],
            "annotations": by_image.get(entry["id"], []),
            "categories": document["categories"],
        }
        label = "-".join(Path(str(entry["file_name"])).with_suffix("").parts[-2:]).lstrip("/-")
        tasks.append((label, CocoTask(folder, label, path, own, len(classes))))
    if not tasks:
        raise StageError(f"none of the {len(document['images'])} images of {annotations} is in {images}")
    return run_tasks(
        folder, tasks, convert, classes=classes, settings={"kind": "coco"}, name=name, notify=notify,
        workers=workers, early=missing,
    )  # fmt: skip


def _find(images: Path, file_name: str) -> Path | None:
    root = images.resolve()
    candidates = ((images / file_name).resolve(), images / Path(file_name).name)
    return next((p for p in candidates if p.is_file() and p.resolve().is_relative_to(root)), None)


def convert(task: CocoTask) -> list[Outcome]:
    try:
        body, size = read_image_as_jpeg(task.path)
        mask = from_coco(task.document)[0][0].mask
        if mask.shape != size:
            raise MaskError(
                f"COCO says {mask.shape[1]}x{mask.shape[0]} pixels, the image has {size[1]}x{size[0]}"
            )
        return [write_pair(task.folder, task.name, body, mask, classes=task.classes, source=str(task.path))]
    except (GtsegError, OSError, KeyError, TypeError, ValueError) as error:
        return [Skipped(str(task.path), f"{type(error).__name__}: {error}")]
