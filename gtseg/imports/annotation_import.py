"""Import of annotations of any format: find the images, draw the masks, account for every annotation."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from gtseg.core.account import Kind, Loss
from gtseg.core.images.formats import IMAGE_SUFFIXES
from gtseg.core.output_names import unique_names
from gtseg.core.plurals import counted
from gtseg.errors import GtsegError, ManifestError

from .annotation_masks import draw
from .annotations import AnnotatedImage, AnnotationSet
from .file_matching import ImageIndex
from .files import list_files, require_folder
from .journal import run_tasks, stamp_files
from .orientation import conversion_notes, match_orientation
from .outcomes import Outcome, Report, Skipped
from .output_files import write_pair
from .photographs import read_photograph


@dataclass(frozen=True)
class ImageTask:
    folder: Path
    name: str
    path: Path
    image: AnnotatedImage
    classes: int


def import_annotations(
    images: Path,
    annotations: AnnotationSet,
    folder: Path,
    *,
    name: str,
    limit: int | None = None,
    follow_links: bool = False,
    notify: Callable[[int, int], None] = lambda done, total: None,
    workers: int | None = None,
) -> Report:
    """Import the annotated images that are in the folder `images`. Raises ManifestError if there are none."""
    listing = list_files(require_folder(images), IMAGE_SUFFIXES, follow_links=follow_links)
    index = ImageIndex(images, listing.files)
    chosen = annotations.images[:limit]
    found, losses = _find_files(chosen, index, annotations.source)
    if not found:
        raise ManifestError(_explain_no_image(annotations, images, listing.files))
    if limit is None:
        matched = [match for image in chosen if isinstance(match := index.find(image.file_name), Path)]
        losses += _unlisted(annotations, listing.files, matched)
    else:
        beyond = annotations.images[len(chosen) :]
        losses += [loss for image in beyond for loss in _skip(image, "beyond --limit", "note")]
    labels = unique_names([path.relative_to(images).as_posix() for path, _ in found])
    tasks = [
        (label, ImageTask(folder, label, path, image, len(annotations.classes)))
        for label, (path, image) in zip(labels, found, strict=True)
    ]
    return run_tasks(
        folder,
        tasks,
        convert,
        classes=annotations.classes,
        settings={"kind": annotations.kind},
        name=name,
        inputs={"image": len(annotations.images), "annotation": annotations.total},
        stamp=_stamp,
        notify=notify,
        workers=workers,
        early=[*annotations.losses, *listing.losses, *losses],
        limited=limit is not None,
    )


def _find_files(
    chosen: Sequence[AnnotatedImage], index: ImageIndex, source: str
) -> tuple[list[tuple[Path, AnnotatedImage]], list[Skipped | Loss]]:
    """Return (file, image) of the images that are found; a file that several entries name is ambiguous."""
    matched = [(image.problem or index.find(image.file_name), image) for image in chosen]
    owners: dict[Path, list[AnnotatedImage]] = {}
    for match, image in matched:
        if isinstance(match, Path):
            owners.setdefault(match, []).append(image)
    found: list[tuple[Path, AnnotatedImage]] = []
    losses: list[Skipped | Loss] = []
    for match, image in matched:
        if isinstance(match, str):
            losses += _skip(image, match)
            continue
        full = [other for other in owners[match] if index.matches_fully(other.file_name, match)]
        rivals = full or owners[match]
        if len(rivals) > 1 or rivals[0] is not image:
            losses += _skip(image, _explain_ambiguous(match, owners[match], source))
            continue
        found.append((match, image))
        if image not in full:
            example = f"{match} for {image.file_name}"
            losses.append(Loss("image", "matched only by the last part of its name", example, kind="note"))
    return found, losses


def _explain_ambiguous(path: Path, owners: Sequence[AnnotatedImage], source: str) -> str:
    names = " and ".join(dict.fromkeys(repr(image.file_name) for image in owners))
    return f"{len(owners)} entries of {source} ({names}) match the file {path}; it is ambiguous whose labels apply"


def _skip(image: AnnotatedImage, reason: str, kind: Kind = "lost") -> list[Skipped | Loss]:
    skipped: list[Skipped | Loss] = [Skipped(image.file_name, reason, kind=kind)]
    if image.shapes:
        example = f"{image.shapes[0].name} on {image.file_name}"
        skipped.append(Loss("annotation", "on an image that was skipped", example, len(image.shapes), kind))
    return skipped


def _unlisted(annotations: AnnotationSet, files: Sequence[Path], matched: Sequence[Path]) -> list[Loss]:
    others = sorted(set(files) - set(matched))
    reason = f"not listed in {annotations.source}"
    return [Loss("image file", reason, str(others[0]), len(others), "outside")] if others else []


def _explain_no_image(annotations: AnnotationSet, images: Path, files: Sequence[Path]) -> str:
    if not annotations.images:
        return f"{annotations.source} lists no images"
    if invalid := next((image for image in annotations.images if image.problem), None):
        lost = [loss.text for loss in annotations.losses if loss.kind == "lost"][:1]
        first = f"no image of {annotations.source} can be labeled: {invalid.file_name}: {invalid.problem}"
        return "; ".join([first, *lost])
    return (
        f"none of the {counted(len(annotations.images), 'image')} of {annotations.source} is in {images}: it lists "
        f"{annotations.images[0].file_name!r}, the folder contains "
        f"{f'{files[0].relative_to(images).as_posix()!r}' if files else 'no image'}"
    )


def _stamp(task: ImageTask) -> str:
    content = repr((task.image, task.classes)).encode("utf-8", "replace")
    return f"{stamp_files(task.path)}-{hashlib.sha256(content).hexdigest()[:16]}"


def convert(task: ImageTask) -> list[Outcome]:
    """Write an image and its mask. An image that cannot be labeled is skipped with the reason."""
    try:
        photo = read_photograph(task.path)
        image = match_orientation(task.image, photo)
        mask, drawn, losses = draw(image, photo.size)
        losses = [replace(loss, example=f"{loss.example} on {task.path}") for loss in losses]
        if image.shapes and not drawn:
            return [
                Skipped(str(task.path), "none of its annotations can be drawn; not imported as background"),
                *losses,
            ]
        item = write_pair(
            task.folder,
            task.name,
            photo.body,
            mask,
            classes=task.classes,
            source=str(task.path),
            used={"annotation": drawn},
        )
    except (GtsegError, OSError) as error:
        return list(_skip(replace(task.image, file_name=str(task.path)), str(error)))
    return [item, *losses, *conversion_notes(photo, task.path)]
