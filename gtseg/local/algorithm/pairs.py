"""Pairs of images and annotations of a channel, matched by file name stem, and annotations as class indices.

Masks are (H, W) uint8: class indices 0..num_classes-1, and 255 (void) for ignored pixels.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from gtseg.local.algorithm import log
from gtseg.local.algorithm.container import ClientError, Folders
from gtseg.local.algorithm.untrusted.pictures import PictureError, open_picture

VOID = 255
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png")


@dataclass(frozen=True)
class Pair:
    """An image file and its annotation file."""

    image: Path
    annotation: Path


def find_pairs(folders: Folders, channel: str) -> list[Pair]:
    """Return a channel's pairs, sorted by stem. Raises ClientError if it is empty or an image has no annotation."""
    images = _readable_files(folders.channel(channel), IMAGE_SUFFIXES)
    masks = _readable_files(folders.channel(f"{channel}_annotation"), (".png",))
    if not images:
        raise ClientError(f"channel '{channel}' has no readable image file; it requires *.jpg")
    if not masks:
        raise ClientError(
            f"channel '{channel}_annotation' has no readable image file; it requires one *.png for each image"
        )
    missing = sorted(images.keys() - masks.keys())
    if missing:
        raise ClientError(
            f"{len(missing)} image(s) of channel '{channel}' have no annotation: {images[missing[0]].name} requires "
            f"{missing[0]}.png in channel '{channel}_annotation'"
        )
    return [Pair(images[stem], masks[stem]) for stem in sorted(images)]


def _readable_files(folder: Path, suffixes: tuple[str, ...]) -> dict[str, Path]:
    """Return stem -> file; other files, which S3Prefix semantics may add, are logged and skipped, as on AWS."""
    if not folder.is_dir():
        raise ClientError(f"channel '{folder.name}' is required but was not given")
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.is_dir() or path.suffix.lower() not in suffixes:
            log.warn(f"{path} is not a readable image file")
        elif path.stem in found:
            raise ClientError(f"{path.name} and {found[path.stem].name} of channel '{folder.name}' have the same stem")
        else:
            found[path.stem] = path
    return found


def read_image(path: Path, *, smallest: int = 0) -> np.ndarray:
    """Return (H, W, 3) uint8 BGR pixels as stored (no EXIF rotation: masks are drawn on the stored pixels).

    A JPEG at least 2 (4) x as large as `smallest` is decoded at half (a quarter of) its size, which is faster.
    """
    flags = cv2.IMREAD_COLOR
    if smallest and path.suffix.lower() != ".png":
        try:
            with open_picture(path) as header:
                times = max(header.size) // smallest
        except PictureError as error:
            raise ClientError(f"{path} cannot be decoded as an image: it {error}") from None
        flags = {0: flags, 1: flags}.get(times, cv2.IMREAD_REDUCED_COLOR_2 if times < 4 else cv2.IMREAD_REDUCED_COLOR_4)
    image = cv2.imread(str(path), flags | cv2.IMREAD_IGNORE_ORIENTATION)
    if image is None:
        raise ClientError(f"{path} cannot be decoded as an image")
    return image


def read_mask(path: Path, table: np.ndarray) -> np.ndarray:
    """Return (H, W) uint8 class indices through `table`.

    Raises ClientError for several channels or an unknown value.
    """
    try:
        with open_picture(path) as picture:
            values = np.array(picture)
            mode = picture.mode
    except PictureError as error:
        raise ClientError(f"{path} cannot be decoded as an image: it {error}") from None
    if values.ndim != 2 or values.min() < 0 or values.max() > 255:
        raise ClientError(f"{path} (mode {mode}) is not a single-channel 8-bit annotation of class indices")
    values = values.astype(np.uint8)
    mask = table[values]
    if (mask < 0).any():
        wrong = int(values[mask < 0][0])
        raise ClientError(
            f"{path} has the value {wrong}, which is neither one of the {describe(table)} nor 255 (ignored)"
        )
    return np.asarray(mask, np.uint8)


def check_pair(pair: Pair, table: np.ndarray) -> np.ndarray:
    """Return the pair's mask after checking that it has the image's size. Raises ClientError."""
    try:
        with open_picture(pair.image) as header:
            width, height = header.size
    except PictureError as error:
        raise ClientError(f"{pair.image} cannot be decoded as an image: it {error}") from None
    mask = read_mask(pair.annotation, table)
    if mask.shape != (height, width):
        raise ClientError(
            f"{pair.annotation} is {mask.shape[1]}x{mask.shape[0]} pixels and {pair.image.name} is {width}x{height}: "
            "an annotation must have exactly the size of its image"
        )
    return mask


# --- label maps ---


def read_label_map(folders: Folders, channel: str, *, num_classes: int) -> np.ndarray:
    """Return (256,) int16: PNG value -> class index, -1 for unknown values; logged as by the real container.

    {"map": {"0": 5, "1": 0}}: key = class index used in training, value = PNG value. {"scale": 3}: floor(value / 3).
    255 is always void.
    """
    path = folders.channel("label_map") / f"{channel}_label_map.json"
    if path.exists():
        content = _load_label_map(path)
    else:
        log.warn("label maps not provided, using defaults.")
        content = {"scale": 1}
    log.info(f"#label_map {channel} :{content}")
    return label_table(content, num_classes=num_classes, source=str(path))


def _load_label_map(path: Path) -> dict[str, object]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ClientError(f"{path} is not JSON: {error}") from error
    if not isinstance(content, dict) or set(content) not in ({"map"}, {"scale"}):
        raise ClientError(f'{path} must be {{"map": {{class index: pixel value}}}} or {{"scale": number}}')
    return content


def label_table(content: dict[str, object], *, num_classes: int, source: str = "label map") -> np.ndarray:
    table = np.full(256, -1, np.int16)
    try:
        if "map" in content:
            given = dict(content["map"])  # type: ignore[call-overload]
            pairs = [(int(index), int(value)) for index, value in given.items()]
        else:
            scale = float(content["scale"])  # type: ignore[arg-type]
            if scale <= 0:
                raise ValueError(f"scale {scale} is not greater than 0")
            pairs = [(int(value // scale), value) for value in range(VOID) if value // scale < num_classes]
    except (TypeError, ValueError) as error:
        raise ClientError(f"{source}: {error}") from None
    for index, value in pairs:
        if not (0 <= index < num_classes and 0 <= value <= 255):
            raise ClientError(
                f"{source}: class {index} for pixel value {value} is outside 0..{num_classes - 1} for 0..255"
            )
        if table[value] >= 0:
            raise ClientError(f"{source}: pixel value {value} belongs to the classes {table[value]} and {index}")
        table[value] = index
    table[VOID] = VOID
    return table


def describe(table: np.ndarray) -> str:
    values = [int(v) for v in np.flatnonzero(table[:VOID] >= 0)]
    return f"{len(values)} class values {values if len(values) < 9 else [*values[:4], '...', *values[-2:]]}"
