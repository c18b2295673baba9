"""Import of slippy-map tiles with labels from Label Maker and RoboSat.

Label Maker: `tiles/x-y-z.jpg|png`, `labels.npz` (one array per `x-y-z`; (H, W) class indices for
`ml_type: segmentation`), a configuration with `classes`. RoboSat: `images/z/x/y.webp|jpg|png`, `labels/z/x/y.png`
(palette; the index is the class), a TOML dataset file with `common.classes`.
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
from gtseg.core.classes import VOID
from gtseg.core.images.formats import IMAGE_SUFFIXES
from gtseg.core.labeling.class_names import arrange_names
from gtseg.core.masks.class_values import number_masks
from gtseg.errors import GtsegError, MaskError, SettingsError, StageError

from .color_tables import listed_classes
from .files import list_files, read_text
from .journal import run_tasks, stamp_files
from .mask_colors import read_codes
from .mask_survey import MixedConventions
from .outcomes import Outcome, Report, Skipped
from .output_files import write_pair
from .photographs import read_photograph
from .slippy import Tile, parse_tile


@dataclass(frozen=True)
class TileSource:
    """Images and labels by tile. A label is a PNG file, or the key of an array in an .npz `archive`.

    `codes`: (stored value, class index) if they differ; `notes`: decisions on the meaning of the values.
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
    """Return the files below a folder that have names of tiles, `z/x/y.ext` or `x-y-z.ext`. None: any suffix."""
    return _by_tile(root, list_files(root, suffixes).files)[0]


def _by_tile(root: Path, files: Sequence[Path], unit: str = "tile image") -> tuple[dict[Tile, Path], list[Loss]]:
    """Return the first file of each tile, and losses for other files."""
    tiles: dict[Tile, Path] = {}
    losses = []
    for path in files:
        tile = parse_tile(path.relative_to(root))
        if tile is None:
            losses.append(Loss(unit, "not named like a tile (z/x/y.ext or x-y-z.ext)", str(path), kind="outside"))
        elif (other := tiles.setdefault(tile, path)) is not path:
            losses.append(Loss(unit, "second file of the same tile", f"{path} in addition to {other}"))
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
    """Open a RoboSat or neat-EO data set. Class names are `names`, those of its TOML, or class-1, class-2, ...

    Raises StageError if a folder is missing or has no tiles, SettingsError for an invalid TOML.
    """
    left = list_files(images, IMAGE_SUFFIXES, unit="tile image", follow_links=follow_links) if images.is_dir() else None
    right = list_files(labels, {".png"}, unit="tile label", follow_links=follow_links) if labels.is_dir() else None
    if left is None or right is None:
        raise StageError(f"{images if left is None else labels}: folder not found")
    image_tiles, image_losses = _by_tile(images, left.files)
    label_tiles, label_losses = _by_tile(labels, right.files, "tile label")
    losses = (*left.losses, *right.losses, *image_losses, *label_losses)
    source = TileSource(image_tiles, label_tiles, None, (), losses)
    _require_tiles(source, images, labels)
    return _with_classes(source, tuple(names) or (_robosat_classes(config) if config else ()), merge=merge)


def _robosat_classes(config: Path) -> tuple[str, ...]:
    try:
        classes = listed_classes(tomllib.loads(read_text(config, "a dataset TOML")))
    except ValueError as error:
        raise SettingsError(f"{config}: not readable TOML: {error}") from error
    if len(classes) < 2:
        raise SettingsError(
            f"{config}: must have RoboSat's common.classes or neat-EO's [[classes]] with title, background first; "
            "alternatively specify the names with --labels"
        )
    return classes[1:]


def _with_classes(source: TileSource, names: tuple[str, ...], *, merge: bool | None) -> TileSource:
    """Return the source with its classes, and with the meaning of 0 and 255 if the labels have no other values."""
    found: set[int] = set()
    conventions = MixedConventions()
    for tile in sorted(source.labels):
        path = source.archive or source.labels[tile]
        try:
            values = _read_values(path, source.labels[tile], in_archive=source.archive is not None)
        except (GtsegError, OSError):
            continue  # reported when the tile is converted
        distinct = {int(value) for value in np.unique(values)}
        conventions.add(str(source.labels[tile]), distinct)
        found |= distinct
    conventions.require_one()
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
    """Open a Label Maker folder with `tiles/` and `labels.npz`. Class names are `names` or its configuration's.

    Raises StageError if a part is missing or has no tiles, SettingsError if there are no class names.
    """
    archive = folder / "labels.npz"
    if not archive.exists():
        raise StageError(f"{folder}: labels.npz not found, which `label-maker labels` writes")
    # image names end like the imagery's URL: with Mapbox often in `.jpg90`, or without a suffix
    tiles = folder / "tiles"
    root, suffixes = (tiles, None) if tiles.is_dir() else (folder, IMAGE_SUFFIXES)
    listing = list_files(root, suffixes, unit="tile image", follow_links=follow_links)
    images, losses = _by_tile(root, listing.files)
    labels = {tile: Path(key) for key in _archive_keys(archive) if (tile := parse_tile(Path(key)))}
    source = TileSource(images, labels, archive, (), (*listing.losses, *losses))
    _require_tiles(source, folder, archive)
    found = config or next((p for p in sorted(folder.glob("config*.json"))), None)
    classes = tuple(names) or (_label_maker_classes(found) if found else ())
    if not classes:
        raise SettingsError(f"{folder}: no config.json with class names: specify --config FILE or --labels a,b")
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
        raise SettingsError(f"{config}: not a Label Maker configuration with classes: {error!r}") from error
    kind = document.get("ml_type", "segmentation")
    if kind != "segmentation":
        raise SettingsError(
            f'{config}: "ml_type": "{kind}" produces tile classes or boxes instead of masks: '
            'set "ml_type": "segmentation" and run `label-maker labels` again'
        )
    return names


def _require_tiles(source: TileSource, images: Path, labels: Path) -> None:
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
    """Import all tiles with image and label; blocks of `block` x `block` tiles are groups of the split."""
    paired = sorted(source.images.keys() & source.labels.keys())
    chosen = paired[:limit]
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
        for tile in chosen
    ]
    early: list[Skipped | Loss] = [*_unpaired(source), *source.losses]
    for tile in paired[len(chosen) :]:
        early.append(Skipped(str(source.images[tile]), "beyond --limit", kind="note"))
        early.append(Loss("tile label", "beyond --limit", tile.name, kind="note"))
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
        inputs={"image": len(source.images), "tile label": len(source.labels)},
        stamp=lambda task: stamp_files(task.image, task.label),
        limited=limit is not None,
    )


def _unpaired(source: TileSource) -> Iterator[Skipped]:
    for tile in sorted(source.images.keys() - source.labels.keys()):
        yield Skipped(str(source.images[tile]), "tile image without a label")
    for tile in sorted(source.labels.keys() - source.images.keys()):
        yield Skipped(str(source.labels[tile]), "tile label without an image", "tile label")


def convert_tile(task: TileTask) -> list[Outcome]:
    """Write a tile's image and mask, or skip both with the reason."""
    try:
        photo = read_photograph(task.image)
        mask = _resize(_read_label(task), photo.size, task)
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
        lost = Loss("tile label", "label of an image that was skipped", task.tile.name)
        return [Skipped(str(task.image), str(error)), lost]
    return [item]


def _read_values(path: Path, key: Path, *, in_archive: bool) -> NDArray[Any]:
    """Return the (H, W) integers of a label. Raises MaskError if it is not a mask."""
    if not in_archive:
        return read_codes(path.read_bytes(), str(path))[0]
    try:
        with np.load(path, allow_pickle=False) as archive:
            values = np.asarray(archive[str(key)])
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise MaskError(f"{path}[{key}]: cannot be read: {error}") from None
    # ml_type object-detection writes (n, 5): boxes with a class each
    if values.ndim != 2 or values.shape[1] == 5 or not values.size or values.dtype.kind not in "biu":
        raise MaskError(
            f"{path}[{key}]: {values.dtype} of shape {values.shape}: a segmentation mask must be (H, W) class indices"
        )
    return values


def _read_label(task: TileTask) -> NDArray[np.uint8]:
    key = Path(f"{task.tile.x}-{task.tile.y}-{task.tile.z}")
    values = _read_values(task.label, key, in_archive=task.in_archive)
    if task.codes:
        table = dict(task.codes)
        if unknown := set(map(int, np.unique(values))) - set(table):
            raise MaskError(f"{task.tile.name}: class {min(unknown)} is not a class of the data set")
        coded: NDArray[np.uint8] = np.vectorize(table.__getitem__, otypes=[np.uint8])(values)
        return coded
    inside = values[values != VOID]
    if inside.size and (inside.min() < 0 or inside.max() > task.classes):
        raise MaskError(
            f"{task.tile.name}: class {int(inside.max())}, but the data set has {task.classes} classes and background"
        )
    return values.astype(np.uint8)


def _resize(mask: NDArray[np.uint8], size: tuple[int, int], task: TileTask) -> NDArray[np.uint8]:
    """Return the mask in the image's `size` (H, W). Label Maker always burns 256 x 256 pixels.

    Raises MaskError if the size is not an integer multiple of the mask's.
    """
    if mask.shape == size:
        return mask
    rows, columns = size[0] // mask.shape[0], size[1] // mask.shape[1]
    if rows == columns and (mask.shape[0] * rows, mask.shape[1] * columns) == size:
        return np.repeat(np.repeat(mask, rows, axis=0), columns, axis=1)
    raise MaskError(
        f"{task.tile.name}: {mask.shape[1]}x{mask.shape[0]} pixels in the label, {size[1]}x{size[0]} in the image"
    )
