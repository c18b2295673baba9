"""Import of the tiles in a bounding box from a slippy-map URL, labeled from features as in Label Maker.

Downloads use few connections, a User-Agent and the waits of Retry-After, and are cached as `DIR/cache/z/x/y.ext`.
Tokens do not appear in file names, reports or errors.
"""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import os
import re
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gtseg.core.account import Loss
from gtseg.core.files import write_atomically
from gtseg.core.images.formats import kind_of
from gtseg.errors import GtsegError, ImageError, ManifestError, SettingsError

from .class_rules import class_names, classify, read_rules, unclassified
from .features import Features, read_features, reproject
from .footprints import transform_of_tile
from .journal import run_tasks
from .outcomes import DrawnFeatures, Outcome, Report, Skipped
from .output_files import write_pair
from .overlap import Extent, explain_no_overlap, extent_of_features
from .photographs import read_photograph
from .rasterization import Burnable, burn, burn_numbered
from .slippy import EARTH, Tile, tiles_within

ATTEMPTS = 5
MAX_TILE_BYTES = 32_000_000
TILES_PER_PROCESS = 250
"""Starting a process takes about a second of CPU time: as much as 75 (WebP, 512 pixels) to 300 (JPEG, 256) tiles."""
MAX_POINTS = 5_000
"""Mean number of points of a tile's shapes above which sending them to a process takes longer than burning them."""


@dataclass(frozen=True)
class TileRequest:
    """Box in degrees, zoom level, `imagery` URL with {z}, {x}, {y} (and {token}), and class rules of Label Maker."""

    bbox: tuple[float, float, float, float]
    zoom: int
    imagery: str
    classes: tuple[dict[str, Any], ...]
    token: str = ""
    background_ratio: float = 1.0
    block: int = 1
    seed: int = 0
    connections: int = 4


def tile_url(template: str, tile: Tile, token: str = "") -> str:
    """Return the URL of a tile. `{-y}` is the row from the south, as in TMS.

    Raises SettingsError if a placeholder is missing or the URL is not http or https.
    """
    if not all(f"{{{part}}}" in template for part in ("z", "x")) or not re.search(r"\{-?y\}", template):
        raise SettingsError(f"imagery {template!r}: must contain {{z}}, {{x}} and {{y}}")
    if not re.match(r"https?://", template, re.IGNORECASE):
        scheme = re.match(r"\s*\w+:/*", template)
        raise SettingsError(f"imagery {scheme[0] if scheme else ''}...: must be an http or https URL")
    values = {
        "{z}": tile.z,
        "{x}": tile.x,
        "{y}": tile.y,
        "{-y}": 2**tile.z - 1 - tile.y,
        "{token}": token,
        "ACCESS_TOKEN": token,
    }
    for placeholder, value in values.items():
        template = template.replace(placeholder, str(value))
    return template


def fetch_tile(
    request: TileRequest, tile: Tile, folder: Path, *, sleep: Callable[[float], None] = time.sleep
) -> Path | None:
    """Return the tile's file, from the cache or the server; None if the server has no such tile (404, 204).

    Raises ImageError after five attempts, and immediately if the server rejects the token or returns no image.
    """
    cached = next(iter((folder / "cache" / str(tile.z) / str(tile.x)).glob(f"{tile.y}.*")), None)
    if cached:
        return None if cached.suffix == ".none" else cached
    for attempt in range(ATTEMPTS):
        body, wait = _download(request, tile)
        if body is not None:
            if body and (kind := kind_of(body)) not in {"JPEG", "PNG", "WEBP"}:
                raise ImageError(
                    f"tile {tile.name}: the imagery server returned {kind or 'no image'} instead of JPEG, PNG or WebP"
                )
            path = folder / "cache" / str(tile.z) / str(tile.x) / f"{tile.y}{_suffix(body)}"
            write_atomically(path, body)
            return path if body else None
        sleep(wait if wait is not None else 0.5 * 2**attempt)
    raise ImageError(f"tile {tile.name}: no response from the imagery server after {ATTEMPTS} attempts")


def _suffix(body: bytes) -> str:
    if not body:
        return ".none"
    return {"JPEG": ".jpg", "WEBP": ".webp"}.get(kind_of(body), ".png")


def _download(request: TileRequest, tile: Tile) -> tuple[bytes | None, float | None]:
    """Return (body, None), (b"", None) if there is no such tile, or (None, seconds to wait or None) to retry."""
    url = tile_url(request.imagery, tile, request.token)
    http_request = urllib.request.Request(url, headers={"User-Agent": "gtseg (+tile import)"})
    try:
        with urllib.request.urlopen(http_request, timeout=30) as response:
            body = response.read(MAX_TILE_BYTES + 1)
            if len(body) > MAX_TILE_BYTES:
                raise ImageError(f"tile {tile.name}: the imagery server returned more than {MAX_TILE_BYTES:,} bytes")
            expected = response.headers.get("Content-Length")
            is_complete = expected is None or len(body) == int(expected)
            return (body, None) if is_complete else (None, None)
    except urllib.error.HTTPError as error:
        if error.code == 404:
            return b"", None
        if error.code in {401, 403}:
            raise ImageError(
                f"tile {tile.name}: the imagery server returned {error.code}: check the token (--token)"
            ) from None
        if error.code < 500 and error.code != 429:
            raise ImageError(f"tile {tile.name}: the imagery server returned {error.code}") from None
        return None, _retry_after(error.headers.get("Retry-After"))
    except (OSError, ValueError, http.client.HTTPException):
        return None, None


def _retry_after(value: str | None) -> float | None:
    return min(float(value), 60.0) if value and value.isdecimal() else None


def choose_tiles(request: TileRequest, shapes: Sequence[Burnable]) -> list[Tile]:
    """Return the tiles with features, and `background_ratio` empty ones for each, drawn reproducibly from the seed."""
    from shapely import STRtree
    from shapely.geometry import box

    tiles = list(tiles_within(request.bbox, request.zoom))
    tree = STRtree([shape.geometry for shape in shapes])
    labeled = [t for t in tiles if len(tree.query(box(*t.mercator()), predicate="intersects"))]
    empty = sorted(
        set(tiles) - set(labeled), key=lambda t: hashlib.sha256(f"{request.seed} {t.name}".encode()).digest()
    )
    return sorted([*labeled, *empty[: round(request.background_ratio * len(labeled))]])


def burn_tile(tile: Tile, shapes: Sequence[Burnable], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Return (H, W) uint8 class indices of shapes in EPSG:3857 on a tile of `size` (H, W)."""
    return burn(shapes, size, transform=transform_of_tile(tile, size))


@dataclass(frozen=True)
class BoxTask:
    folder: Path
    request: TileRequest
    tile: Tile
    shapes: tuple[Burnable, ...]
    classes: int
    features: str = ""


def mercator_shapes(request: TileRequest, features: Features) -> list[Burnable]:
    """Return the features' shapes in EPSG:3857; buffers are in pixels of a 256-pixel tile, as in Label Maker."""
    pixel = EARTH / 2**request.zoom / 256
    rules = [replace(rule, buffer=rule.buffer * pixel) for rule in read_rules(request.classes)]
    return classify(reproject(features, "EPSG:3857").items, rules)


def import_bbox(
    request: TileRequest,
    features: Path,
    folder: Path,
    *,
    name: str,
    limit: int | None = None,
    notify: Callable[[int, int], None] = lambda done, total: None,
    workers: int | None = None,
) -> Report:
    """Download the tiles of a box and burn the features into masks. Tiles that the server lacks are skipped.

    Raises SettingsError for an invalid URL, ManifestError if the box has too many tiles or no feature lies in it.
    """
    from shapely import STRtree
    from shapely.geometry import box

    tile_url(request.imagery, Tile(0, 0, 0))
    found = read_features(features)
    shapes = mercator_shapes(request, found)
    tree = STRtree([shape.geometry for shape in shapes])
    classes = class_names(request.classes)
    tasks = []
    chosen = choose_tiles(request, shapes)
    if shapes and not any(len(tree.query(box(*tile.mercator()), predicate="intersects")) for tile in chosen):
        raise ManifestError(_explain_no_overlap(request, found, str(features)))
    for tile in chosen[:limit]:
        hits = sorted(int(i) for i in tree.query(box(*tile.mercator()), predicate="intersects"))
        task = BoxTask(folder, request, tile, tuple(shapes[i] for i in hits), len(classes), str(features))
        tasks.append((tile.name, task))
    _prefetch([task for _, task in tasks], request.connections)
    return run_tasks(
        folder,
        tasks,
        convert_box_tile,
        classes=classes,
        settings={
            "kind": "bbox",
            **{k: v for k, v in request.__dict__.items() if k not in {"token", "connections"}},
        },
        name=name,
        inputs={"image": len(chosen), "feature": found.total},
        early=[
            *found.losses,
            *unclassified(found.items, read_rules(request.classes), str(features)),
            *(Skipped(tile.name, "beyond --limit", kind="note") for tile in chosen[len(tasks) :]),
        ],
        late=lambda outcomes: _lost_features(outcomes, found, request, str(features), limit),
        limited=limit is not None,
        notify=notify,
        workers=workers or count_processes([task for _, task in tasks], os.cpu_count() or 1),
    )


def _explain_no_overlap(request: TileRequest, found: Features, source: str) -> str:
    extent = extent_of_features(found, source)
    area = Extent("the box", request.bbox, request.bbox, "EPSG:4326")
    return explain_no_overlap([extent] if extent else [], [area])


def _lost_features(
    outcomes: Sequence[Outcome], found: Features, request: TileRequest, source: str, limit: int | None
) -> list[Loss]:
    """Return the features that no tile shows: outside the box (a note), or without a pixel."""
    from shapely.geometry import box

    drawn = {number for o in outcomes if isinstance(o, DrawnFeatures) for number in o.numbers}
    rules = read_rules(request.classes)
    missing = [
        feature
        for feature in reproject(found, "OGC:CRS84").items
        if feature.number not in drawn
        and any(rule.accepts(feature.properties, feature.geometry.geom_type) for rule in rules)
    ]
    area = box(*request.bbox)
    losses = []
    for feature in missing:
        is_outside = not feature.geometry.intersects(area)
        reason = (
            "outside the box"
            if is_outside
            else "no pixel in a mask: smaller than a pixel, below another class, or on a tile that was skipped"
        )
        kind: Any = "note" if is_outside or limit is not None else "lost"
        losses.append(Loss("feature", reason, f"feature {feature.number} of {source}", kind=kind))
    return losses


def count_processes(tasks: Sequence[BoxTask], cores: int) -> int:
    """Return the number of processes that burns the tiles fastest; 1 if further processes would not save time."""
    from shapely import get_num_coordinates

    processes = min(cores, len(tasks) // TILES_PER_PROCESS)
    if processes < 2:
        return 1
    points = sum(int(get_num_coordinates([shape[0] for shape in task.shapes]).sum()) for task in tasks)
    return processes if points <= MAX_POINTS * len(tasks) else 1


def _prefetch(tasks: Sequence[BoxTask], connections: int) -> None:
    """Fill the cache in parallel. Errors are ignored here; the tile's task repeats the download and reports them."""

    def fetch(task: BoxTask) -> None:
        with contextlib.suppress(GtsegError):
            fetch_tile(task.request, task.tile, task.folder)

    with ThreadPoolExecutor(max(1, connections)) as pool:
        list(pool.map(fetch, tasks))


def convert_box_tile(task: BoxTask) -> list[Outcome]:
    tile = task.tile
    try:
        path = fetch_tile(task.request, tile, task.folder)
        if path is None:
            return [Skipped(tile.name, "the imagery server has no such tile")]
        photo = read_photograph(path)
        burned = burn_numbered(task.shapes, photo.size, transform=transform_of_tile(tile, photo.size))
        item = write_pair(
            task.folder,
            tile.name,
            photo.body,
            burned.mask,
            classes=task.classes,
            source=f"{tile.z}/{tile.x}/{tile.y}",
            group=tile.block(task.request.block),
            extra={"tile": {"z": tile.z, "x": tile.x, "y": tile.y}},
        )
    except (GtsegError, OSError) as error:
        return [Skipped(tile.name, str(error))]
    return [item, DrawnFeatures(task.features, burned.numbers)]
