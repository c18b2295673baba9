"""Slippy-map tiles with labels, as Label Maker and RoboSat leave them.

Label Maker: `tiles/x-y-z.jpg|png`, `labels.npz` (one array per `x-y-z`; (H, W) class indices for
`ml_type: segmentation`), a configuration with `classes`. RoboSat: `images/z/x/y.webp|jpg|png` and
`labels/z/x/y.png` (palette, the index is the class), a TOML dataset file with `common.classes`.
"""

from __future__ import annotations

import json
import tomllib
import zipfile
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gtseg.core.account import Loss
from gtseg.core.images.formats import IMAGE_SUFFIXES
from gtseg.core.labeling.class_names import arrange_names
from gtseg.core.masks.class_values import number_masks
from gtseg.errors import GtsegError, MaskError, SettingsError, StageError

from .files import list_files, read_text
from .journal import run_tasks, stamp_files
from .mask_colors import listed_classes, read_codes
from .mask_survey import Mixture
from .outcomes import Outcome, Report, Skipped
from .output_files import write_pair
from .photographs import read_photograph
from .rasterization import VOID
from .slippy import Tile, parse_tile


@dataclass(frozen=True)
class TileSource:
    """Tiles with images and labels; a label is a PNG file or a member of an .npz archive.

    `codes`: stored value -> class index where they differ; `notes`: what was decided about the values.
    """

    images: dict[Tile, Path]
    labels: dict[Tile, Path]
    archive: Path | None
    classes: tuple[str, ...]
    losses: tuple[Loss, ...] = ()
    codes: tuple[tuple[int, int], ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class TileTask:
    folder: Path
    tile: Tile
    image: Path
    label: Path
    in_archive: bool
    classes: int
    block: int
    codes: tuple[tuple[int, int], ...] = ()


def tile_files(root: Path, suffixes: Collection[str] | None) -> dict[Tile, Path]:
    """Tile -> file below a folder, for `z/x/y.ext` and `x-y-z.ext`; other names are not tiles. None: any ending, or none."""
    return _sort_tiles(root, list_files(root, suffixes).files)[0]


def _sort_tiles(root: Path, files: Sequence[Path], unit: str = "tile image") -> tuple[dict[Tile, Path], list[Loss]]:
    """Tile -> its first file, and what is no tile or a second file of one."""
    tiles: dict[Tile, Path] = {}
    losses = []
    for path in files:
        tile = parse_tile(path.relative_to(root))
        if tile is None:
            losses.append(Loss(unit, "not named as a tile (z/x/y.ext or x-y-z.ext)", str(path), kind="outside"))
        elif (other := tiles.setdefault(tile, path)) is not path:
            losses.append(Loss(unit, "another file of a tile that was taken", f"{path} beside {other}"))
    return tiles, losses


def open_robosat(
    images: Path,
    labels: Path,
    config: Path | None,
    *,
    names: Sequence[str] = (),
    merge: bool | None = None,
    follow_links: bool = False,
) -> TileSource:
    """A RoboSat or neat-EO data set; class names from its TOML, from `names`, else class-1, class-2 ... as many as needed."""
    left = list_files(images, IMAGE_SUFFIXES, unit="tile image", follow_links=follow_links) if images.is_dir() else None
    right = list_files(labels, {".png"}, unit="tile label", follow_links=follow_links) if labels.is_dir() else None
    if left is None or right is None:
        raise StageError(f"{images if left is None else labels}: no such folder of tiles")
    image_tiles, image_losses = _sort_tiles(images, left.files)
    label_tiles, label_losses = _sort_tiles(labels, right.files, "tile label")
    losses = (*left.losses, *right.losses, *image_losses, *label_losses)
    source = TileSource(image_tiles, label_tiles, None, (), losses)
    _require(source, images, labels)
    return _with_classes(source, tuple(names) or (_robosat_classes(config) if config else ()), merge=merge)


def _robosat_classes(config: Path) -> tuple[str, ...]:
    try:
        classes = listed_classes(tomllib.loads(read_text(config, "a dataset TOML")))
    except ValueError as error:
        raise SettingsError(f"{config}: not readable TOML: {error}") from error
    if len(classes) < 2:
        raise SettingsError(
            f"{config}: no dataset file: want RoboSat's common.classes or neat-EO's [[classes]] title with background first; "
            "or give the names with --labels"
        )
    return classes[1:]


def _with_classes(source: TileSource, names: tuple[str, ...], *, merge: bool | None) -> TileSource:
    """The source with its classes, and what 0 and 255 mean where all labels hold nothing else."""
    found: set[int] = set()
    mixture = Mixture()
    for tile in sorted(source.labels):
        path = source.archive or source.labels[tile]
        try:
            values = _read_values(path, source.labels[tile], in_archive=source.archive is not None)
        except (GtsegError, OSError):
            continue  # told when the tile is converted
        own = {int(value) for value in np.unique(values)}
        mixture.add(str(source.labels[tile]), own)
        found |= own
    mixture.refuse()
    if VOID in found and found <= {0, VOID}:
        numbering = number_masks(found, names, source="the data set", what="the label tiles")
        codes = tuple(numbering.codes.items())
        return replace(source, classes=numbering.names[1:], codes=codes, notes=numbering.notes)
    if not names:
        highest = max((value for value in found if value != VOID), default=0)
        names = tuple(f"class-{i}" for i in range(1, max(highest, 1) + 1))
    arranged = arrange_names(names, merge=merge)
    if arranged.classes == names:
        return replace(source, classes=names)
    codes = ((0, 0), (VOID, VOID), *((i, arranged.index[name]) for i, name in enumerate(names, 1)))
    return replace(source, classes=arranged.classes, codes=codes)


def open_label_maker(
    folder: Path,
    *,
    config: Path | None = None,
    names: Sequence[str] = (),
    merge: bool | None = None,
    follow_links: bool = False,
) -> TileSource:
    """A Label Maker folder: `tiles/` beside `labels.npz`; classes from its configuration or from `names`."""
    archive = folder / "labels.npz"
    if not archive.exists():
        raise StageError(f"{folder}: no labels.npz in it, which Label Maker's `labels` writes")
    # Label Maker ends an image's name as the imagery's URL ends: `.jpg90` and nothing at all are usual with Mapbox
    tiles = folder / "tiles"
    root, suffixes = (tiles, None) if tiles.is_dir() else (folder, IMAGE_SUFFIXES)
    listing = list_files(root, suffixes, unit="tile image", follow_links=follow_links)
    images, losses = _sort_tiles(root, listing.files)
    labels = {tile: Path(key) for key in _archive_keys(archive) if (tile := parse_tile(Path(key)))}
    source = TileSource(images, labels, archive, (), (*listing.losses, *losses))
    _require(source, folder, archive)
    found = config or next((p for p in sorted(folder.glob("config*.json"))), None)
    classes = tuple(names) or (_label_maker_classes(found) if found else ())
    if not classes:
        raise SettingsError(f"{folder}: no config.json names the classes: give it, or --labels a,b")
    return _with_classes(source, classes, merge=merge)


def _archive_keys(archive: Path) -> list[str]:
    try:
        with zipfile.ZipFile(archive) as members:
            return sorted(name.removesuffix(".npy") for name in members.namelist())
    except (OSError, zipfile.BadZipFile) as error:
        raise StageError(f"{archive}: not a readable .npz archive: {error}") from error


def _label_maker_classes(config: Path) -> tuple[str, ...]:
    try:
        document = json.loads(read_text(config, "Label Maker's configuration"))
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
    limit: int | None = None,
    notify: Callable[[int, int], None] = lambda done, total: None,
    workers: int | None = None,
) -> Report:
    """Every tile that has both image and label; `block` x `block` neighbours form one group of the split."""
    paired = sorted(source.images.keys() & source.labels.keys())
    both = paired[:limit]
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
                source.codes,
            ),
        )
        for tile in both
    ]
    early: list[Skipped | Loss] = [*_unpaired(source), *source.losses]
    for tile in paired[len(both) :]:
        early.append(Skipped(str(source.images[tile]), "--limit", kind="note"))
        early.append(Loss("tile label", "--limit", tile.name, kind="note"))
    return run_tasks(
        folder,
        tasks,
        convert_tile,
        classes=source.classes,
        settings={"kind": "tiles", "block": block},
        name=name,
        notify=notify,
        workers=workers,
        early=early,
        came={"image": len(source.images), "tile label": len(source.labels)},
        stamp=lambda task: stamp_files(task.image, task.label),
        limited=limit is not None,
    )


def _unpaired(source: TileSource) -> Iterator[Skipped]:
    for tile in sorted(source.images.keys() - source.labels.keys()):
        yield Skipped(str(source.images[tile]), "a tile image without a label")
    for tile in sorted(source.labels.keys() - source.images.keys()):
        yield Skipped(str(source.labels[tile]), "a tile label without an image", "tile label")


def convert_tile(task: TileTask) -> list[Outcome]:
    try:
        photo = read_photograph(task.image)
        mask = _fit(_read_label(task), photo.size, task)
        item = write_pair(
            task.folder,
            task.tile.name,
            photo.body,
            mask,
            classes=task.classes,
            source=str(task.image),
            group=task.tile.block(task.block),
            extra={"tile": {"z": task.tile.z, "x": task.tile.x, "y": task.tile.y}},
            used={"tile label": 1},
        )
    except (GtsegError, OSError) as error:
        lost = Loss("tile label", "of an image that was left out", task.tile.name)
        return [Skipped(str(task.image), str(error)), lost]
    return [item]


def _read_values(path: Path, key: Path, *, in_archive: bool) -> NDArray[Any]:
    """(H, W) integers of a label. Raises MaskError where it is no mask."""
    if not in_archive:
        return read_codes(path.read_bytes(), str(path))[0]
    try:
        with np.load(path, allow_pickle=False) as archive:
            values = np.asarray(archive[str(key)])
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise MaskError(f"{path}[{key}]: cannot be read: {error}") from None
    # (0, 5) and (n, 5) are what ml_type object-detection writes: boxes, and one class each
    if values.ndim != 2 or values.shape[1] == 5 or not values.size or values.dtype.kind not in "biu":
        raise MaskError(
            f"{path}[{key}]: {values.dtype} of shape {values.shape}, a mask is (H, W) class indices: no segmentation"
        )
    return values


def _read_label(task: TileTask) -> NDArray[np.uint8]:
    key = Path(f"{task.tile.x}-{task.tile.y}-{task.tile.z}")
    values = _read_values(task.label, key, in_archive=task.in_archive)
    if task.codes:
        table = dict(task.codes)
        if foreign := set(map(int, np.unique(values))) - set(table):
            raise MaskError(f"{task.tile.name}: class {min(foreign)} is none of the data set's")
        coded: NDArray[np.uint8] = np.vectorize(table.__getitem__, otypes=[np.uint8])(values)
        return coded
    inside = values[values != VOID]
    if inside.size and (inside.min() < 0 or inside.max() > task.classes):
        raise MaskError(f"{task.tile.name}: class {int(inside.max())}, the data set has {task.classes} and background")
    return values.astype(np.uint8)


def _fit(mask: NDArray[np.uint8], size: tuple[int, int], task: TileTask) -> NDArray[np.uint8]:
    """Label Maker burns 256 x 256 whatever the image's size: an exact multiple is repeated, anything else refused."""
    if mask.shape == size:
        return mask
    rows, columns = size[0] // mask.shape[0], size[1] // mask.shape[1]
    if rows == columns and (mask.shape[0] * rows, mask.shape[1] * columns) == size:
        return np.repeat(np.repeat(mask, rows, axis=0), columns, axis=1)
    raise MaskError(f"{task.tile.name}: label of {mask.shape[1]}x{mask.shape[0]}, image of {size[1]}x{size[0]} pixels")
