"""A folder of images and a folder of masks (RGB, palette, index, or one file per label) -> an import.

Pairs are found by relative path, then by stem. One file per label: `masks/<label>/<stem>.png` or
`<stem>_<label>.png`, each non-zero where its label is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from gtseg.errors import GtsegError, ImageError, MaskError, StageError

from .colours import ColourTable, colours_of, decode_mask, discover_table, read_codes
from .journal import Outcome, Report, Skipped, run_tasks
from .writing import jpeg_bytes, write_pair

__all__ = ["Pair", "discover_colours", "find_pairs", "import_masks", "read_image_as_jpeg"]

IMAGE_SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp"}
MASK_SUFFIXES = {".png", ".tif", ".tiff", ".bmp", ".gif"}


@dataclass(frozen=True)
class Pair:
    """An image and its mask file, or the files of its labels."""

    name: str
    image: Path
    masks: tuple[tuple[str, Path], ...]


@dataclass(frozen=True)
class PairTask:
    folder: Path
    pair: Pair
    table: ColourTable
    repair: bool


def find_pairs(images: Path, masks: Path, *, labels: Sequence[str] = ()) -> tuple[list[Pair], list[Skipped]]:
    """Every image with its mask; images without one, masks without an image and odd files are reported.

    `labels` says that there is one file per label. Raises StageError where nothing pairs.
    """
    found = sorted(p for p in images.rglob("*") if p.suffix.lower() in IMAGE_SUFFIXES)
    if not found:
        raise StageError(f"{images}: no images ({', '.join(sorted(IMAGE_SUFFIXES))}) found")
    index = _index_masks(masks)
    pairs: list[Pair] = []
    skipped: list[Skipped] = []
    used: set[Path] = set()
    names = _names(found, images)
    for path in found:
        relative = path.relative_to(images).with_suffix("")
        mine = _label_files(index, relative, labels) if labels else _mask_file(index, relative)
        if not mine:
            skipped.append(Skipped(str(path), f"no mask with its path or stem in {masks}"))
            continue
        used.update(p for _, p in mine)
        pairs.append(Pair(names[path], path, tuple(mine)))
    skipped += [Skipped(str(p), "a mask without an image") for p in sorted(set(index.values()) - used)]
    if not pairs:
        raise StageError(f"no image of {images} has a mask in {masks}: equal paths or equal stems are needed")
    return pairs, skipped


def _names(paths: Sequence[Path], root: Path) -> dict[Path, str]:
    """A name per image: its stem where no other image has it, else its path joined by dashes and its suffix."""
    stems = Counter(p.stem.lower() for p in paths)
    names, taken = {}, set()
    for path in paths:
        relative = path.relative_to(root)
        name = path.stem if stems[path.stem.lower()] == 1 else "-".join(relative.with_suffix("").parts)
        if name.lower() in taken:
            name = f"{name}-{relative.suffix[1:].lower()}"
        while name.lower() in taken:
            name += "_"
        taken.add(name.lower())
        names[path] = name
    return names


def _index_masks(masks: Path) -> dict[str, Path]:
    if not masks.is_dir():
        raise StageError(f"{masks}: no such folder of masks")
    files = sorted(p for p in masks.rglob("*") if p.suffix.lower() in MASK_SUFFIXES)
    if not files:
        raise StageError(f"{masks}: no masks ({', '.join(sorted(MASK_SUFFIXES))}) found")
    index = {p.relative_to(masks).with_suffix("").as_posix(): p for p in files}
    stems = Counter(p.stem for p in files)
    return {**{p.stem: p for p in files if stems[p.stem] == 1}, **index}


def _mask_file(index: dict[str, Path], relative: Path) -> list[tuple[str, Path]]:
    path = index.get(relative.as_posix()) or index.get(relative.name)
    return [("", path)] if path else []


def _label_files(index: dict[str, Path], relative: Path, labels: Sequence[str]) -> list[tuple[str, Path]]:
    found = []
    for label in labels:
        keys = (f"{label}/{relative.as_posix()}", f"{relative.as_posix()}_{label}", f"{relative.name}_{label}",
                f"{label}/{relative.name}", f"{relative.as_posix()}/{label}")  # fmt: skip
        path = next((index[key] for key in keys if key in index), None)
        if path:
            found.append((label, path))
    return found


def discover_colours(
    pairs: Sequence[Pair], *, by_index: bool | None = None
) -> tuple[dict[str, object], Counter[int]]:
    """The table that the masks' own colours suggest, and how many pixels have each: to be confirmed by a person."""
    counts: Counter[int] = Counter()
    indexed = True
    refusal: MaskError | None = None
    for pair in pairs:
        path = pair.masks[0][1]
        try:
            codes, is_index = read_codes(path.read_bytes(), str(path), by_index=by_index)
        except MaskError as error:  # the import skips this one by name; the others still show their colours
            refusal = error
            continue
        counts.update(colours_of(codes))
        indexed = indexed and is_index
    if not counts and refusal:
        raise refusal
    return discover_table(counts, by_index=indexed), counts


def import_masks(
    pairs: Sequence[Pair],
    folder: Path,
    table: ColourTable,
    *,
    name: str,
    repair: bool = False,
    early: Sequence[Skipped] = (),
    notify: Callable[[int, int], None] = lambda done, total: None,
    workers: int | None = None,
) -> Report:
    """Every pair as JPEG and mask below `folder`; a pair that cannot be used is skipped with its reason."""
    tasks = [(pair.name, PairTask(folder, pair, table, repair)) for pair in pairs]
    codes = {table.name_of(code): index for code, index in table.codes.items()}
    return run_tasks(
        folder,
        tasks,
        convert_pair,
        classes=table.classes,
        settings={"kind": "masks", "colours": codes, "repair": repair},
        name=name,
        notify=notify,
        workers=workers,
        early=early,
    )


def convert_pair(task: PairTask) -> list[Outcome]:
    try:
        body, size = read_image_as_jpeg(task.pair.image)
        mask = _read_mask(task)
        if mask.shape != size:
            raise MaskError(
                f"{task.pair.masks[0][1]}: {mask.shape[1]}x{mask.shape[0]} pixels, its image has {size[1]}x{size[0]}"
            )
        item = write_pair(
            task.folder,
            task.pair.name,
            body,
            mask,
            classes=len(task.table.classes),
            source=str(task.pair.image),
        )
    except (GtsegError, OSError) as error:
        return [Skipped(str(task.pair.image), str(error))]
    return [item]


def read_image_as_jpeg(path: Path) -> tuple[bytes, tuple[int, int]]:
    """JPEG bytes of an image, its own where it is an upright RGB or grey JPEG, and its (H, W)."""
    try:
        body = path.read_bytes()
        with Image.open(path) as image:
            upright = image.getexif().get(0x0112, 1) == 1
            if image.format == "JPEG" and image.mode in {"RGB", "L"} and upright:
                image.load()
                return body, (image.height, image.width)
            turned = ImageOps.exif_transpose(image)
            pixels = np.asarray(_flatten(turned))
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise ImageError(f"{path}: not a readable image: {error}") from error
    return jpeg_bytes(pixels), (pixels.shape[0], pixels.shape[1])


def _flatten(image: Image.Image) -> Image.Image:
    """Any mode as RGB, transparency on white; 16-bit grey is refused: its stretch is a decision (`import geo`)."""
    if image.mode.startswith(("I", "F")):
        raise ImageError(f"{image.mode}: more than 8 bits a pixel; `gtseg import geo` stretches such images")
    if image.mode in {"RGBA", "LA", "PA"} or "transparency" in image.info:
        rgba = image.convert("RGBA")
        white = Image.new("RGBA", rgba.size, "white")
        return Image.alpha_composite(white, rgba).convert("RGB")
    return image.convert("RGB")


def _read_mask(task: PairTask) -> NDArray[np.uint8]:
    if task.pair.masks[0][0] == "":
        path = task.pair.masks[0][1]
        codes, _ = read_codes(path.read_bytes(), str(path), by_index=task.table.by_index)
        return decode_mask(codes, task.table, str(path), repair=task.repair)
    return _stack_labels(task.pair, task.table.classes)


def _stack_labels(pair: Pair, classes: Sequence[str]) -> NDArray[np.uint8]:
    """One file per label -> (H, W) uint8; a pixel of two labels is the later label's, in the order of the classes."""
    layers = list(_layers(pair))
    if len({layer.shape for _, layer in layers}) != 1:
        raise MaskError(f"{pair.image}: its label files differ in size")
    mask = np.zeros(layers[0][1].shape, np.uint8)
    for label, layer in sorted(layers, key=lambda item: classes.index(item[0])):
        mask[layer] = classes.index(label) + 1
    return mask


def _layers(pair: Pair) -> Iterator[tuple[str, NDArray[np.bool_]]]:
    for label, path in pair.masks:
        with Image.open(path) as image:
            pixels = np.asarray(
                image.convert("RGB") if image.mode not in {"1", "L", "P", "I;16", "I"} else image
            )
        yield label, np.asarray(pixels.any(axis=-1) if pixels.ndim == 3 else pixels != 0, bool)
