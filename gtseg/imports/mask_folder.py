"""Import of images with masks: colors, indices, or one file per label.

Files per label are `masks/<label>/<stem>.png` or `<stem>_<label>.png`; non-zero pixels have the label.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from gtseg.core.account import Kind, Loss
from gtseg.core.images.formats import MASK_FORMATS
from gtseg.errors import GtsegError, MaskError

from .color_tables import ColorTable
from .journal import run_tasks, stamp_files
from .mask_colors import decode_mask, read_codes, repair_mask
from .mask_pairs import Pair, Pairs
from .orientation import ambiguous_orientation, conversion_notes
from .outcomes import Outcome, Report, Skipped
from .output_files import write_pair
from .photographs import Photograph, read_photograph


@dataclass(frozen=True)
class PairTask:
    folder: Path
    pair: Pair
    table: ColorTable
    repair: bool


def import_masks(
    found: Pairs,
    folder: Path,
    table: ColorTable,
    *,
    name: str,
    repair: bool = False,
    limit: int | None = None,
    notify: Callable[[int, int], None] = lambda done, total: None,
    workers: int | None = None,
) -> Report:
    """Write the image and mask of every pair to `folder`. Invalid pairs are skipped with the reason."""
    pairs = found.pairs[:limit]
    tasks = [(pair.name, PairTask(folder, pair, table, repair)) for pair in pairs]
    codes = {table.name_of(code): index for code, index in table.codes.items()}
    beyond = [loss for pair in found.pairs[len(pairs) :] for loss in _skip(pair, "beyond --limit", "note")]
    return run_tasks(
        folder,
        tasks,
        convert_pair,
        classes=table.classes,
        settings={"kind": "masks", "colours": codes, "repair": repair},
        name=name,
        inputs={"image": found.images, "mask": found.masks},
        stamp=_stamp,
        notify=notify,
        workers=workers,
        early=[*found.losses, *beyond],
        limited=limit is not None,
    )


def _stamp(task: PairTask) -> str:
    return stamp_files(task.pair.image, *(path for _, path in task.pair.masks))


def _skip(pair: Pair, reason: str, kind: Kind = "lost") -> list[Skipped | Loss]:
    masks = [Loss("mask", "mask of an image that was skipped", str(path), kind=kind) for _, path in pair.masks]
    return [Skipped(str(pair.image), reason, kind=kind), *masks]


def convert_pair(task: PairTask) -> list[Outcome]:
    """Write a pair's image and mask, or skip both with the reason."""
    try:
        photo = read_photograph(task.pair.image)
        mask, losses = _read_mask(task)
        _check_size(mask, photo, task.pair)
        item = write_pair(
            task.folder,
            task.pair.name,
            photo.body,
            mask,
            classes=len(task.table.classes),
            source=str(task.pair.image),
            used={"mask": task.pair.new},
        )
    except (GtsegError, OSError) as error:
        return list(_skip(task.pair, str(error)))
    return [item, *losses, *conversion_notes(photo, task.pair.image)]


def _check_size(mask: NDArray[np.uint8], photo: Photograph, pair: Pair) -> None:
    if mask.shape == photo.size:
        if photo.orientation != 1 and photo.stored == photo.size and mask.any():
            raise MaskError(ambiguous_orientation(photo, "mask"))
        return
    rotation = ""
    if photo.orientation != 1:
        rotation = (
            f"; the image has EXIF orientation {photo.orientation} and is stored as "
            f"{photo.stored[1]}x{photo.stored[0]}: rotate its pixels (mogrify -auto-orient, exiftran -ai) and make the "
            "mask for the rotated image"
        )
    raise MaskError(
        f"{pair.masks[0][1]}: {mask.shape[1]}x{mask.shape[0]} pixels, its image has "
        f"{photo.size[1]}x{photo.size[0]}{rotation}"
    )


def _read_mask(task: PairTask) -> tuple[NDArray[np.uint8], list[Loss]]:
    if task.pair.masks[0][0]:
        return _stack_labels(task.pair, task.table.classes)
    path = task.pair.masks[0][1]
    codes, _ = read_codes(path.read_bytes(), str(path), by_index=task.table.by_index)
    if not task.repair:
        return decode_mask(codes, task.table, str(path)), []
    repaired = repair_mask(codes, task.table)
    notes = (
        ("unknown color, set to the class with the nearest color (--repair)", repaired.nearest),
        ("value without a clearly nearest class, set to void (--repair)", repaired.void),
    )
    return repaired.mask, [Loss("pixel", reason, str(path), count, "note") for reason, count in notes if count]


def _stack_labels(pair: Pair, classes: Sequence[str]) -> tuple[NDArray[np.uint8], list[Loss]]:
    """Combine files per label to (H, W) uint8 class indices; later classes cover earlier ones."""
    layers = list(_read_layers(pair))
    if len({layer.shape for _, layer in layers}) != 1:
        raise MaskError(f"{pair.image}: its label files have different sizes")
    mask = np.zeros(layers[0][1].shape, np.uint8)
    for label, layer in sorted(layers, key=lambda item: classes.index(item[0])):
        mask[layer] = classes.index(label) + 1
    absent = [label for label in classes if label not in dict(layers)]
    notes = [
        Loss("image", f"no file of the label {label!r}, so no pixel has it", str(pair.image), kind="note")
        for label in absent
    ]
    return mask, [*_covered_pixels(layers, mask, classes, str(pair.image)), *notes]


def _covered_pixels(
    layers: Sequence[tuple[str, NDArray[np.bool_]]],
    mask: NDArray[np.uint8],
    classes: Sequence[str],
    image: str,
) -> list[Loss]:
    """Return the pixels of each label that another label covers."""
    losses = []
    for label, layer in layers:
        counts = np.bincount(mask[layer], minlength=len(classes) + 1)
        own = classes.index(label) + 1
        covering = [name for index, name in enumerate(classes, 1) if index != own and counts[index]]
        if covering:
            extent = "partly" if counts[own] else "completely"
            later = ", ".join(map(repr, covering))
            reason = f"label {label!r}, {extent} covered by {later}, later in the order of labels"
            losses.append(Loss("pixel", reason, image, int(counts.sum() - counts[own])))
    return losses


def _read_layers(pair: Pair) -> Iterator[tuple[str, NDArray[np.bool_]]]:
    for label, path in pair.masks:
        try:
            with Image.open(io.BytesIO(path.read_bytes()), formats=MASK_FORMATS) as image:
                is_plain = image.mode in {"1", "L", "P", "I;16", "I"}
                pixels = np.asarray(image if is_plain else image.convert("RGB"))
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
            raise MaskError(f"{path}: not a readable mask: {error}") from error
        yield label, np.asarray(pixels.any(axis=-1) if pixels.ndim == 3 else pixels != 0, bool)
