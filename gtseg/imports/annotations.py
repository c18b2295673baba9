"""Annotations on images, out of any format, -> an import.

A format's reader makes an `AnnotationSet`: classes, images by the names that the file gives them, and the shapes on each.
Here images are found, shapes are drawn, and every annotation is accounted for: drawn, or lost with its reason.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gtseg.core.account import Loss
from gtseg.core.images.formats import IMAGE_SUFFIXES
from gtseg.core.output_names import unique_names
from gtseg.core.plurals import counted
from gtseg.errors import GtsegError, ImageError, ManifestError, MaskError

from .file_matching import ImageIndex
from .files import list_files, require_folder
from .journal import run_tasks, stamp_files
from .outcomes import Outcome, Report, Skipped
from .output_files import write_pair
from .photographs import Photograph, read_photograph
from .rle import Runs, decode_runs

Ring = tuple[tuple[float, float], ...]
FARTHEST = 1e9
"""No coordinate of an outline is larger, in pixels."""
OUTSIDE = "more than half of it lies outside the image: drawn for another size or place"


@dataclass(frozen=True)
class Shape:
    """One annotation: outlines whose union it is, in pixels (or 0..1 of the image), or run lengths. `name` is said to people."""

    name: str
    index: int
    rings: tuple[Ring, ...] = ()
    runs: Runs | None = None


@dataclass(frozen=True)
class AnnotatedImage:
    """An image as its file of annotations names it; `size` (H, W) where it says one. `relative`: coordinates are 0..1."""

    file_name: str
    shapes: tuple[Shape, ...]
    size: tuple[int, int] | None = None
    relative: bool = False
    problem: str = ""
    """Why it cannot be labeled; '' for a good one."""


@dataclass(frozen=True)
class AnnotationSet:
    """A file of annotations. `came` counts all that it holds, `losses` those that are on no image of it."""

    kind: str
    source: str
    classes: tuple[str, ...]
    images: tuple[AnnotatedImage, ...]
    came: int
    losses: tuple[Loss, ...] = ()


@dataclass(frozen=True)
class ImageTask:
    folder: Path
    name: str
    path: Path
    image: AnnotatedImage
    classes: int


def ring_of(numbers: Iterable[Any]) -> Ring:
    """(x, y) points of flat numbers or pairs. Raises MaskError for fewer than three points and what is no number."""
    values = list(numbers)
    if values and all(isinstance(v, list | tuple) and len(v) >= 2 for v in values):
        values = [number for pair in values for number in pair[:2]]
    try:
        flat = [float(v) for v in values]
    except (TypeError, ValueError, OverflowError):
        raise MaskError("an outline that holds what is no number") from None
    if not all(math.isfinite(v) and abs(v) <= FARTHEST for v in flat):
        raise MaskError("an outline that holds what is no number")
    if len(flat) % 2:
        raise MaskError("an outline with an odd number of coordinates")
    points = list(zip(flat[0::2], flat[1::2], strict=True))
    if len(set(points)) < 3:
        raise MaskError("an outline with fewer than three points")
    return tuple(points)


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
    """Every image of the set that is in `images`, with its mask. Raises ManifestError where none is."""
    listing = list_files(require_folder(images), IMAGE_SUFFIXES, follow_links=follow_links)
    index = ImageIndex(images, listing.files)
    chosen = annotations.images[:limit]
    found, losses = _find(chosen, index, annotations.source)
    named = [match for image in chosen if isinstance(match := index.find(image.file_name), Path)]
    losses += _left_over(annotations, chosen, listing.files, named, limit)
    if not found:
        raise ManifestError(_nothing(annotations, images, listing.files))
    relative = [path.relative_to(images).as_posix() for path, _ in found]
    tasks = [
        (label, ImageTask(folder, label, path, image, len(annotations.classes)))
        for label, (path, image) in zip(unique_names(relative), found, strict=True)
    ]
    return run_tasks(
        folder, tasks, convert, classes=annotations.classes, settings={"kind": annotations.kind}, name=name,
        came={"image": len(annotations.images), "annotation": annotations.came}, stamp=_stamp, notify=notify,
        workers=workers, early=[*annotations.losses, *listing.losses, *losses], limited=limit is not None,
    )  # fmt: skip


def _find(
    chosen: Sequence[AnnotatedImage], index: ImageIndex, source: str
) -> tuple[list[tuple[Path, AnnotatedImage]], list[Skipped | Loss]]:
    """(file, image) of the images that are there; a file that two entries name is neither's."""
    matched = [(image.problem or index.find(image.file_name), image) for image in chosen]
    owners: dict[Path, list[AnnotatedImage]] = {}
    for match, image in matched:
        if isinstance(match, Path):
            owners.setdefault(match, []).append(image)
    found: list[tuple[Path, AnnotatedImage]] = []
    losses: list[Skipped | Loss] = []
    for match, image in matched:
        if isinstance(match, str):
            losses += _without(image, match)
            continue
        is_whole = index.is_whole(image.file_name, match)
        rivals = [other for other in owners[match] if index.is_whole(other.file_name, match)] or owners[match]
        if len(rivals) > 1 or rivals[0] is not image:
            losses += _without(image, _claimed(match, owners[match], source))
            continue
        found.append((match, image))
        if not is_whole:
            words = "found by the last part of its name alone"
            losses.append(Loss("image", words, f"{match} for {image.file_name}", kind="note"))
    return found, losses


def _claimed(path: Path, owners: Sequence[AnnotatedImage], source: str) -> str:
    names = " and ".join(dict.fromkeys(repr(image.file_name) for image in owners))
    return f"{len(owners)} entries of {source} ({names}) name the file {path}: which labels are its own is ambiguous"


def _without(image: AnnotatedImage, reason: str, kind: Any = "lost") -> list[Skipped | Loss]:
    gone: list[Skipped | Loss] = [Skipped(image.file_name, reason, kind=kind)]
    if image.shapes:
        words = "of an image that was left out"
        gone.append(Loss("annotation", words, f"{image.shapes[0].name} on {image.file_name}", len(image.shapes), kind))
    return gone


def _left_over(
    annotations: AnnotationSet,
    chosen: Sequence[AnnotatedImage],
    files: Sequence[Path],
    used: Sequence[Path],
    limit: int | None,
) -> list[Skipped | Loss]:
    if limit is not None:
        return [loss for image in annotations.images[len(chosen) :] for loss in _without(image, "--limit", "note")]
    others = sorted(set(files) - set(used))
    reason = f"named by no entry of {annotations.source}"
    return [Loss("image file", reason, str(others[0]), len(others), "outside")] if others else []


def _nothing(annotations: AnnotationSet, images: Path, files: Sequence[Path]) -> str:
    if not annotations.images:
        return f"{annotations.source}: it lists no images"
    if broken := next((image for image in annotations.images if image.problem), None):
        lost = next((loss.text for loss in annotations.losses if loss.kind == "lost"), "")
        return f"no image of {annotations.source} can be labeled: {broken.file_name}: {broken.problem}{'; ' * bool(lost)}{lost}"
    return (
        f"none of the {counted(len(annotations.images), 'image')} of {annotations.source} is in {images}: "
        f"it names {annotations.images[0].file_name!r}, the folder holds "
        f"{f'{files[0].relative_to(images).as_posix()!r}' if files else 'no image'}"
    )


def _stamp(task: ImageTask) -> str:
    drawn = hashlib.sha256(repr((task.image, task.classes)).encode("utf-8", "replace")).hexdigest()[:16]
    return f"{stamp_files(task.path)}-{drawn}"


def convert(task: ImageTask) -> list[Outcome]:
    try:
        photo = read_photograph(task.path)
        image = upright(task.image, photo)
        mask, drawn, losses = draw(image, photo.size)
        losses = [replace(loss, example=f"{loss.example} on {task.path}") for loss in losses]
        if image.shapes and not drawn:
            return [
                Skipped(str(task.path), "none of its annotations can be drawn: it is no background"),
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
        return list(_without(replace(task.image, file_name=str(task.path)), str(error)))
    return [
        item,
        *losses,
        *notes_on(photo, task.path),
    ]


def notes_on(photo: Photograph, path: Path) -> list[Loss]:
    """What was done to a photograph beside reading it."""
    notes = []
    if photo.orientation != 1:
        notes.append(
            Loss(
                "image",
                "turned upright, as its EXIF orientation says",
                f"{path} (orientation {photo.orientation})",
                kind="note",
            )
        )
    if photo.band_dropped:
        notes.append(Loss("image", "a fourth band that is no transparency was left out", str(path), kind="note"))
    return notes


def undecided(photo: Photograph, what: str) -> str:
    """Why labels of a turned photograph whose size is the same either way are not used."""
    return (
        f"EXIF orientation {photo.orientation} turns or mirrors it, its size is {photo.size[1]}x{photo.size[0]} pixels stored and "
        f"upright, and nothing says which {what}. Where they follow the upright picture, turn the pixels (mogrify -auto-orient, "
        "exiftran -ai); where they follow the stored pixels, remove the tag (exiftool -Orientation=)"
    )


def upright(image: AnnotatedImage, photo: Photograph) -> AnnotatedImage:
    """The image with the size of the upright pixels. Raises ImageError where its annotations were made for another size.

    A size that is the stored one of a turned photograph is right only where the outlines leave it and fit the upright one.
    """
    if photo.orientation != 1 and image.shapes and photo.stored == photo.size:
        raise ImageError(undecided(photo, "the outlines were drawn on"))
    if image.size is None and not image.relative and any(shape.rings for shape in image.shapes):
        image = replace(image, size=photo.stored)  # no size decides as little as the stored one
    if image.size is None or image.size == photo.size:
        return image
    height, width = image.size
    if image.size == photo.stored and photo.size == (width, height):
        points = [point for shape in image.shapes for ring in shape.rings for point in ring]
        if points and max(y for _, y in points) > height + 1 and max(x for x, _ in points) <= height + 1:
            return replace(image, size=photo.size)
        raise ImageError(
            f"EXIF orientation {photo.orientation} turns it: {width}x{height} pixels as stored and in the annotations, "
            f"{height}x{width} upright, and nothing says which the outlines were drawn on. Turn the pixels themselves "
            "(mogrify -auto-orient, exiftran -ai), and export the annotations again or swap their width and height"
        )
    turned = f" (EXIF orientation {photo.orientation})" if photo.orientation != 1 else ""
    raise ImageError(
        f"the annotations say {width}x{height} pixels, the image has {photo.size[1]}x{photo.size[0]}{turned}"
    )


def draw(image: AnnotatedImage, size: tuple[int, int]) -> tuple[NDArray[np.uint8], int, list[Loss]]:
    """((H, W) uint8 class indices, how many annotations arrived, losses); a later shape lies on top of earlier ones."""
    owners = np.zeros(size, np.int32)
    losses: list[Loss] = []
    regions: dict[int, Region] = {}
    for number, shape in enumerate(image.shapes, 1):
        try:
            regions[number] = region_of(shape, size, relative=image.relative)
        except MaskError as error:
            losses.append(Loss("annotation", str(error), shape.name))
            continue
        top, left = regions[number].place
        inside = regions[number].pixels
        owners[top : top + inside.shape[0], left : left + inside.shape[1]][inside] = number
        if regions[number].nested:
            words = "an outline inside another of the same annotation: both are filled, as these outlines know no holes"
            losses.append(Loss("annotation", words, shape.name, kind="note"))
    meaning = np.array([0, *(shape.index for shape in image.shapes)], np.uint8)
    mask = meaning[owners]
    counts = np.bincount(owners.ravel(), minlength=len(image.shapes) + 1)
    arrived = 0
    for number, region in regions.items():
        shape = image.shapes[number - 1]
        if counts[number] or (region.pixels.any() and _same_below(mask, region, shape.index)):
            arrived += 1
        elif region.pixels.any():
            losses.append(Loss("annotation", "wholly under annotations of other classes", shape.name))
        else:
            losses.append(Loss("annotation", "no pixel: smaller than one, or outside the image", shape.name))
    return mask, arrived, losses


def _same_below(mask: NDArray[np.uint8], region: Region, index: int) -> bool:
    """Whether what covers a shape is of its own class, so that nothing is lost."""
    top, left = region.place
    height, width = region.pixels.shape
    return bool((mask[top : top + height, left : left + width][region.pixels] == index).any())


@dataclass(frozen=True)
class Region:
    """The pixels of a shape within a window of the image whose upper left corner is `place` (row, column)."""

    pixels: NDArray[np.bool_]
    place: tuple[int, int]
    nested: bool = False


def region_of(shape: Shape, size: tuple[int, int], *, relative: bool = False) -> Region:
    """A shape's pixels on an image of (H, W). Raises MaskError where its run lengths are of another size."""
    if shape.runs is None:
        scale = (size[1], size[0]) if relative else (1.0, 1.0)
        rings = [_scaled(ring, scale) for ring in shape.rings]
        if _is_mostly_outside(rings, size):
            raise MaskError(OUTSIDE)
        return _fill(rings, size)
    runs = shape.runs
    is_whole = (runs.left, runs.top) == (0, 0) and runs.order != "rows"
    if is_whole and (runs.height, runs.width) != size:
        raise MaskError(f"its run lengths are of {runs.width}x{runs.height} pixels, its image has {size[1]}x{size[0]}")
    pixels = decode_runs(runs)
    rows, columns = (
        slice(max(0, -runs.top), max(0, size[0] - runs.top)),
        slice(max(0, -runs.left), max(0, size[1] - runs.left)),
    )
    inside = pixels[rows, columns]
    if 0 < 2 * np.count_nonzero(inside) < np.count_nonzero(pixels):
        raise MaskError(OUTSIDE)
    return Region(inside, (max(0, runs.top), max(0, runs.left)))


def _is_mostly_outside(rings: Sequence[Ring], size: tuple[int, int]) -> bool:
    """Whether some, but less than half, of the outlines' area is on an image of (H, W)."""
    height, width = size
    if all(0 <= x <= width and 0 <= y <= height for ring in rings for x, y in ring):
        return False
    from shapely import make_valid, union_all
    from shapely.geometry import Polygon, box

    area = union_all([make_valid(Polygon(ring)) for ring in rings])
    return 0 < 2 * float(area.intersection(box(0, 0, width, height)).area) < float(area.area)


def _scaled(ring: Ring, scale: tuple[float, float]) -> Ring:
    """Points in pixels; a thousandth of a pixel is the writer's rounding (YOLO has six to eight digits)."""
    if scale == (1.0, 1.0):
        return ring
    return tuple((round(x * scale[0], 3), round(y * scale[1], 3)) for x, y in ring)


def _fill(rings: Sequence[Ring], size: tuple[int, int]) -> Region:
    """The pixels whose centers lie in any of the rings."""
    from rasterio.features import rasterize
    from rasterio.transform import Affine

    points = [point for ring in rings for point in ring]
    left = min(size[1], max(0, math.floor(min(x for x, _ in points))))
    top = min(size[0], max(0, math.floor(min(y for _, y in points))))
    right = min(size[1], max(0, math.ceil(max(x for x, _ in points))))
    bottom = min(size[0], max(0, math.ceil(max(y for _, y in points))))
    if right <= left or bottom <= top:
        return Region(np.zeros((0, 0), bool), (0, 0))
    shapes = [{"type": "Polygon", "coordinates": [[*ring, ring[0]]]} for ring in rings]
    window = rasterize(shapes, out_shape=(bottom - top, right - left), transform=Affine.translation(left, top))
    return Region(window.astype(bool), (top, left), nested=len(rings) > 1 and _is_nested(rings))


def _is_nested(rings: Sequence[Ring]) -> bool:
    from shapely import make_valid
    from shapely.geometry import Polygon

    areas = sorted((make_valid(Polygon(ring)) for ring in rings), key=lambda area: -area.area)
    return any(outer.contains(inner) for i, outer in enumerate(areas) for inner in areas[i + 1 :])
