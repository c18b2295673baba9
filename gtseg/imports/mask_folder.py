"""Pairs of an image and its mask (RGB, palette, index, or one file per label) -> an import.

One file per label: `masks/<label>/<stem>.png` or `<stem>_<label>.png`, each non-zero where its label is.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from gtseg.core.account import Loss
from gtseg.core.images.formats import MASK_FORMATS
from gtseg.errors import GtsegError, MaskError

from .annotations import notes_on, undecided
from .journal import run_tasks, stamp_files
from .mask_colors import ColourTable, decode_mask, read_codes, repair_mask
from .mask_pairs import Pair, Pairs
from .outcomes import Outcome, Report, Skipped
from .output_files import write_pair
from .photographs import Photograph, read_photograph


@dataclass(frozen=True)
class PairTask:
    folder: Path
    pair: Pair
    table: ColourTable
    repair: bool


def import_masks(
    found: Pairs,
    folder: Path,
    table: ColourTable,
    *,
    name: str,
    repair: bool = False,
    limit: int | None = None,
    notify: Callable[[int, int], None] = lambda done, total: None,
    workers: int | None = None,
) -> Report:
    """Every pair as JPEG and mask below `folder`; a pair that cannot be used is skipped with its reason."""
    pairs = found.pairs[:limit]
    tasks = [(pair.name, PairTask(folder, pair, table, repair)) for pair in pairs]
    codes = {table.name_of(code): index for code, index in table.codes.items()}
    later = [loss for pair in found.pairs[len(pairs) :] for loss in _left_out(pair, "--limit", "note")]
    return run_tasks(
        folder,
        tasks,
        convert_pair,
        classes=table.classes,
        settings={"kind": "masks", "colours": codes, "repair": repair},
        name=name,
        came={"image": found.images, "mask": found.masks},
        stamp=_stamp,
        notify=notify,
        workers=workers,
        early=[*found.losses, *later],
        limited=limit is not None,
    )


def _stamp(task: PairTask) -> str:
    return stamp_files(task.pair.image, *(path for _, path in task.pair.masks))


def _left_out(pair: Pair, reason: str, kind: str = "lost") -> list[Skipped | Loss]:
    words = "of an image that was left out"
    masks = [Loss("mask", words, str(path), kind="note" if kind == "note" else "lost") for _, path in pair.masks]
    return [Skipped(str(pair.image), reason, kind="note" if kind == "note" else "lost"), *masks]


def convert_pair(task: PairTask) -> list[Outcome]:
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
        return list(_left_out(task.pair, str(error)))
    return [item, *losses, *notes_on(photo, task.pair.image)]


def _check_size(mask: NDArray[np.uint8], photo: Photograph, pair: Pair) -> None:
    if mask.shape == photo.size:
        if photo.orientation != 1 and photo.stored == photo.size and mask.any():
            raise MaskError(undecided(photo, "its mask was made for"))
        return
    turned = ""
    if photo.orientation != 1:
        turned = (
            f"; the image is turned by its EXIF orientation ({photo.orientation}), stored as {photo.stored[1]}x{photo.stored[0]}: "
            "turn its pixels (mogrify -auto-orient, exiftran -ai) and make its mask for those"
        )
    raise MaskError(
        f"{pair.masks[0][1]}: {mask.shape[1]}x{mask.shape[0]} pixels, its image has {photo.size[1]}x{photo.size[0]}{turned}"
    )


def _read_mask(task: PairTask) -> tuple[NDArray[np.uint8], list[Loss]]:
    if task.pair.masks[0][0]:
        return _stack_labels(task.pair, task.table.classes)
    path = task.pair.masks[0][1]
    codes, _ = read_codes(path.read_bytes(), str(path), by_index=task.table.by_index)
    if not task.repair:
        return decode_mask(codes, task.table, str(path)), []
    repaired = repair_mask(codes, task.table)
    said = (
        ("of foreign colors went to the class of the nearest color (--repair)", repaired.nearest),
        ("of values between the classes went to void (--repair)", repaired.void),
    )
    return repaired.mask, [Loss("pixel", words, str(path), count, "note") for words, count in said if count]


def _stack_labels(pair: Pair, classes: Sequence[str]) -> tuple[NDArray[np.uint8], list[Loss]]:
    """One file per label -> ((H, W) uint8, losses); a pixel of two labels is the later label's, in the order of the classes."""
    layers = list(_layers(pair))
    if len({layer.shape for _, layer in layers}) != 1:
        raise MaskError(f"{pair.image}: its label files differ in size")
    mask = np.zeros(layers[0][1].shape, np.uint8)
    for label, layer in sorted(layers, key=lambda item: classes.index(item[0])):
        mask[layer] = classes.index(label) + 1
    absent = [label for label in classes if label not in dict(layers)]
    notes = [
        Loss(
            "image",
            f"no file of the label {label!r}: nothing of it on the image",
            str(pair.image),
            kind="note",
        )
        for label in absent
    ]
    return mask, [*_covered(layers, mask, classes, str(pair.image)), *notes]


def _covered(
    layers: Sequence[tuple[str, NDArray[np.bool_]]],
    mask: NDArray[np.uint8],
    classes: Sequence[str],
    image: str,
) -> list[Loss]:
    """What of each label lies under another's pixels."""
    losses = []
    for label, layer in layers:
        seen = np.bincount(mask[layer], minlength=len(classes) + 1)
        own = classes.index(label) + 1
        covering = [name for index, name in enumerate(classes, 1) if index != own and seen[index]]
        if covering:
            extent = "partly" if seen[own] else "wholly"
            words = (
                f"of the label {label!r}, {extent} under {', '.join(map(repr, covering))}, later in the order of labels"
            )
            losses.append(Loss("pixel", words, image, int(seen.sum() - seen[own])))
    return losses


def _layers(pair: Pair) -> Iterator[tuple[str, NDArray[np.bool_]]]:
    for label, path in pair.masks:
        try:
            with Image.open(io.BytesIO(path.read_bytes()), formats=MASK_FORMATS) as image:
                is_plain = image.mode in {"1", "L", "P", "I;16", "I"}
                pixels = np.asarray(image if is_plain else image.convert("RGB"))
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
            raise MaskError(f"{path}: not a readable mask: {error}") from error
        yield label, np.asarray(pixels.any(axis=-1) if pixels.ndim == 3 else pixels != 0, bool)
