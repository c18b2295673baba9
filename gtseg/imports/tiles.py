"""Slippy-map tiles with labels, as Label Maker and RoboSat leave them.

Label Maker: `tiles/x-y-z.jpg|png`, `labels.npz` (one array per `x-y-z`; (H, W) class indices for
`ml_type: segmentation`), a configuration with `classes`. RoboSat: `images/z/x/y.webp|jpg|png` and
`labels/z/x/y.png` (palette, the index is the class), a TOML dataset file with `common.classes`.
"""

from __future__ import annotations

import json
import tomllib
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gtseg.errors import GtsegError, MaskError, SettingsError, StageError

from .burning import VOID
from .colours import read_codes
from .journal import Outcome, Report, Skipped, run_tasks
from .mask_folder import IMAGE_SUFFIXES, read_image_as_jpeg
from .slippy import Tile, parse_tile
from .writing import write_pair

__all__ = ["TileSource", "import_tiles", "open_label_maker", "open_robosat", "tile_files"]


@dataclass(frozen=True)
class TileSource:
    """Tiles with images and labels; a label is a PNG file or a member of an .npz archive."""

    images: dict[Tile, Path]
    labels: dict[Tile, Path]
    archive: Path | None
    classes: tuple[str, ...]


@dataclass(frozen=True)
class TileTask:
    folder: Path
    tile: Tile
    image: Path
    label: Path
    in_archive: bool
    classes: int
    block: int


def tile_files(root: Path, suffixes: set[str] | None) -> dict[Tile, Path]:
    """Tile -> file below a folder, for `z/x/y.ext` and `x-y-z.ext`; other names are not tiles. None: any ending, or none."""
    files = sorted(
        p for p in root.rglob("*") if p.is_file() and (suffixes is None or p.suffix.lower() in suffixes)
    )
    pairs = ((parse_tile(p.relative_to(root)), p) for p in files)
    return {tile: path for tile, path in pairs if tile is not None}


def open_robosat(images: Path, labels: Path, config: Path | None, *, names: Sequence[str] = ()) -> TileSource:
    """A RoboSat data set; class names from its TOML, from `names`, else class-1, class-2 ... as many as needed."""
    source = TileSource(tile_files(images, IMAGE_SUFFIXES), tile_files(labels, {".png"}), None, ())
    _require(source, images, labels)
    classes = tuple(names) or (_robosat_classes(config) if config else _count_classes(source.labels.values()))
    return TileSource(source.images, source.labels, None, classes)


def _robosat_classes(config: Path) -> tuple[str, ...]:
    try:
        classes = tomllib.loads(config.read_text(encoding="utf-8"))["common"]["classes"]
    except (OSError, KeyError, tomllib.TOMLDecodeError) as error:
        raise SettingsError(f"{config}: no RoboSat dataset file with common.classes: {error!r}") from error
    return tuple(str(name) for name in classes[1:])


def _count_classes(labels: Any) -> tuple[str, ...]:
    highest = 0
    for path in labels:
        codes, _ = read_codes(path.read_bytes(), str(path))
        inside = codes[codes != VOID]
        highest = max(highest, int(inside.max()) if inside.size else 0)
    return tuple(f"class-{i}" for i in range(1, max(highest, 1) + 1))


def open_label_maker(folder: Path, *, config: Path | None = None, names: Sequence[str] = ()) -> TileSource:
    """A Label Maker folder: `tiles/` beside `labels.npz`; classes from its configuration or from `names`."""
    archive = folder / "labels.npz"
    if not archive.exists():
        raise StageError(f"{folder}: no labels.npz in it, which Label Maker's `labels` writes")
    # Label Maker ends an image's name as the imagery's URL ends: `.jpg90` and nothing at all are usual with Mapbox
    tiles = folder / "tiles"
    images = tile_files(tiles, None) if tiles.is_dir() else tile_files(folder, IMAGE_SUFFIXES)
    labels = {tile: Path(key) for key in _archive_keys(archive) if (tile := parse_tile(Path(key)))}
    source = TileSource(images, labels, archive, ())
    _require(source, folder, archive)
    found = config or next((p for p in sorted(folder.glob("config*.json"))), None)
    classes = tuple(names) or (_label_maker_classes(found) if found else ())
    if not classes:
        raise SettingsError(f"{folder}: no config.json names the classes: give it, or --labels a,b")
    return TileSource(images, labels, archive, classes)


def _archive_keys(archive: Path) -> list[str]:
    try:
        with zipfile.ZipFile(archive) as members:
            return sorted(name.removesuffix(".npy") for name in members.namelist())
    except (OSError, zipfile.BadZipFile) as error:
        raise StageError(f"{archive}: not a readable .npz archive: {error}") from error


def _label_maker_classes(config: Path) -> tuple[str, ...]:
    try:
        document = json.loads(config.read_text(encoding="utf-8-sig"))
        names = tuple(str(entry["name"]) for entry in document["classes"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SettingsError(f"{config}: no Label Maker configuration with classes: {error!r}") from error
    kind = document.get("ml_type", "segmentation")
    if kind != "segmentation":
        raise SettingsError(
            f'{config}: "ml_type": "{kind}" makes one label per tile or boxes, no masks; '
            'set "ml_type": "segmentation" and run label-maker labels again'
        )
    return names


def _require(source: TileSource, images: Path, labels: Path) -> None:
    if not source.images:
        raise StageError(f"{images}: no tile images (z/x/y.ext or x-y-z.ext) found")
    if not source.labels:
        raise StageError(f"{labels}: no tile labels (z/x/y.png or x-y-z) found")
    if not source.images.keys() & source.labels.keys():
        raise StageError(f"no tile has both an image ({images}) and a label ({labels})")


def import_tiles(
    source: TileSource,
    folder: Path,
    *,
    name: str,
    block: int = 1,
    notify: Callable[[int, int], None] = lambda done, total: None,
    workers: int | None = None,
) -> Report:
    """Every tile that has both image and label; `block` x `block` neighbours form one group of the split."""
    both = sorted(source.images.keys() & source.labels.keys())
    tasks = [
        (
            tile.name,
            TileTask(
                folder,
                tile,
                source.images[tile],
                source.archive or source.labels[tile],
                source.archive is not None,
                len(source.classes),
                block,
            ),
        )
        for tile in both
    ]
    return run_tasks(
        folder,
        tasks,
        convert_tile,
        classes=source.classes,
        settings={"kind": "tiles", "block": block},
        name=name,
        notify=notify,
        workers=workers,
        early=list(_unpaired(source)),
    )


def _unpaired(source: TileSource) -> Iterator[Skipped]:
    for tile in sorted(source.images.keys() - source.labels.keys()):
        yield Skipped(str(source.images[tile]), "a tile image without a label")
    for tile in sorted(source.labels.keys() - source.images.keys()):
        yield Skipped(str(source.labels[tile]), "a tile label without an image")


def convert_tile(task: TileTask) -> list[Outcome]:
    try:
        body, size = read_image_as_jpeg(task.image)
        mask = _fit(_read_label(task), size, task)
        item = write_pair(
            task.folder,
            task.tile.name,
            body,
            mask,
            classes=task.classes,
            source=str(task.image),
            group=task.tile.block(task.block),
            extra={"tile": {"z": task.tile.z, "x": task.tile.x, "y": task.tile.y}},
        )
    except (GtsegError, OSError) as error:
        return [Skipped(str(task.image), str(error))]
    return [item]


def _read_label(task: TileTask) -> NDArray[np.uint8]:
    if task.in_archive:
        key = f"{task.tile.x}-{task.tile.y}-{task.tile.z}"
        with np.load(task.label, allow_pickle=False) as archive:
            values = np.asarray(archive[key])
        # (0, 5) and (n, 5) are what ml_type object-detection writes: boxes, and one class each
        if values.ndim != 2 or values.shape[1] == 5 or not values.size or values.dtype.kind not in "biu":
            raise MaskError(
                f"{task.label}[{key}]: {values.dtype} of shape {values.shape}, a mask is (H, W) class indices: no segmentation"
            )
    else:
        values, _ = read_codes(task.label.read_bytes(), str(task.label))
    inside = values[values != VOID]
    if inside.size and (inside.min() < 0 or inside.max() > task.classes):
        raise MaskError(
            f"{task.tile.name}: class {int(inside.max())}, the data set has {task.classes} and background"
        )
    return values.astype(np.uint8)


def _fit(mask: NDArray[np.uint8], size: tuple[int, int], task: TileTask) -> NDArray[np.uint8]:
    """Label Maker burns 256 x 256 whatever the image's size: an exact multiple is repeated, anything else refused."""
    if mask.shape == size:
        return mask
    rows, columns = size[0] // mask.shape[0], size[1] // mask.shape[1]
    if rows == columns and (mask.shape[0] * rows, mask.shape[1] * columns) == size:
        return np.repeat(np.repeat(mask, rows, axis=0), columns, axis=1)
    raise MaskError(
        f"{task.tile.name}: label of {mask.shape[1]}x{mask.shape[0]}, image of {size[1]}x{size[0]} pixels"
    )
