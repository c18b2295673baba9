"""Tiles of a bounding box from any slippy-map URL, with the features that lie on them: Label Maker's beginning.

Politely (bounded connections, a User-Agent, waits as told by Retry-After), resumable (a tile that is on disk is
not fetched again) and cached (`DIR/cache/z/x/y.ext`). Tokens stay out of file names, reports and errors.
"""

from __future__ import annotations

import hashlib
import http.client
import os
import re
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gtseg.core.account import Loss
from gtseg.core.files import write_atomically
from gtseg.core.images.formats import kind_of
from gtseg.errors import GtsegError, ImageError, ManifestError, SettingsError

from .features import Features, read_features, reproject
from .journal import run_tasks
from .outcomes import Drawn, Outcome, Report, Skipped
from .output_files import write_pair
from .photographs import read_photograph
from .rasterization import Burnable, burn, burn_numbered, class_names, classify, read_rules, unclassified
from .slippy import Tile, tiles_within

ATTEMPTS = 5
MOST_BYTES = 32_000_000
"""Of a tile; a server that sends more sends no tile."""
TILES_A_PROCESS = 250
"""A process costs about a second of CPU before its first tile, as much as 75 (WebP, 512 pixels) to 300 (JPEG, 256) tiles."""
MOST_POINTS = 5_000
"""Points of a tile's shapes, on average, beyond which sending them to another process costs more than burning them here."""


@dataclass(frozen=True)
class TileRequest:
    """What to fetch: `imagery` with {z} {x} {y} (and {token}), box in degrees, classes as Label Maker writes them."""

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
    """The address of a tile; `{-y}` counts rows from the south, as TMS does."""
    if not all(f"{{{part}}}" in template for part in ("z", "x")) or not re.search(r"\{-?y\}", template):
        raise SettingsError(f"imagery {template!r}: want {{z}}, {{x}} and {{y}} in it")
    if not re.match(r"https?://", template, re.IGNORECASE) and "://" in template:
        raise SettingsError(f"imagery {template.partition(':')[0]}://...: want an http or https address")
    south = 2**tile.z - 1 - tile.y
    parts = {
        "{z}": tile.z,
        "{x}": tile.x,
        "{y}": tile.y,
        "{-y}": south,
        "{token}": token,
        "ACCESS_TOKEN": token,
    }
    for mark, value in parts.items():
        template = template.replace(mark, str(value))
    return template


def fetch_tile(
    request: TileRequest, tile: Tile, folder: Path, *, sleep: Callable[[float], None] = time.sleep
) -> Path | None:
    """The tile's file, from the cache or the server; None where the server has none (404, 204).

    Raises ImageError after five attempts, or at once where the server refuses the token.
    """
    cached = next(iter((folder / "cache" / str(tile.z) / str(tile.x)).glob(f"{tile.y}.*")), None)
    if cached:
        return None if cached.suffix == ".none" else cached
    for attempt in range(ATTEMPTS):
        body, wait = _ask(request, tile)
        if body is not None:
            if body and (kind := kind_of(body)) not in {"JPEG", "PNG", "WEBP"}:
                words = kind if kind else "not an image"
                raise ImageError(f"tile {tile.name}: the imagery server's answer is {words}")
            path = folder / "cache" / str(tile.z) / str(tile.x) / f"{tile.y}{_suffix(body)}"
            write_atomically(path, body)
            return path if body else None
        sleep(wait if wait is not None else 0.5 * 2**attempt)
    raise ImageError(f"tile {tile.name}: no answer from the imagery server after {ATTEMPTS} attempts")


def _suffix(body: bytes) -> str:
    if not body:
        return ".none"
    return {"JPEG": ".jpg", "WEBP": ".webp"}.get(kind_of(body), ".png")


def _ask(request: TileRequest, tile: Tile) -> tuple[bytes | None, float | None]:
    """(body, None), (empty, None) where there is no such tile, (None, seconds to wait or None) to try again."""
    url = tile_url(request.imagery, tile, request.token)
    asked = urllib.request.Request(url, headers={"User-Agent": "gtseg (+tile import)"})
    try:
        with urllib.request.urlopen(asked, timeout=30) as answer:
            body = answer.read(MOST_BYTES + 1)
            if len(body) > MOST_BYTES:
                raise ImageError(f"tile {tile.name}: the imagery server sends more than {MOST_BYTES:,} bytes")
            expected = answer.headers.get("Content-Length")
            whole = expected is None or len(body) == int(expected)
            return (body, None) if whole else (None, None)
    except urllib.error.HTTPError as error:
        if error.code == 404:
            return b"", None
        if error.code in {401, 403}:
            raise ImageError(
                f"tile {tile.name}: the imagery server answers {error.code}: is the token right?"
            ) from None
        if error.code < 500 and error.code != 429:
            raise ImageError(f"tile {tile.name}: the imagery server answers {error.code}") from None
        return None, _retry_after(error.headers.get("Retry-After"))
    except (OSError, ValueError, http.client.HTTPException):
        return None, None


def _retry_after(value: str | None) -> float | None:
    return min(float(value), 60.0) if value and value.isdecimal() else None


def choose_tiles(request: TileRequest, shapes: Sequence[Burnable]) -> list[Tile]:
    """The tiles on which a feature lies, and `background_ratio` empty ones for each, chosen by the seed."""
    from shapely import STRtree
    from shapely.geometry import box

    tiles = list(tiles_within(request.bbox, request.zoom))
    tree = STRtree([shape[0] for shape in shapes]) if shapes else None
    labeled = [t for t in tiles if tree is not None and len(tree.query(box(*t.mercator()), predicate="intersects"))]
    empty = sorted(
        set(tiles) - set(labeled), key=lambda t: hashlib.sha256(f"{request.seed} {t.name}".encode()).digest()
    )
    return sorted([*labeled, *empty[: round(request.background_ratio * len(labeled))]])


def burn_tile(tile: Tile, shapes: Sequence[Burnable], size: tuple[int, int]) -> NDArray[np.uint8]:
    """(H, W) uint8 class indices of the shapes (EPSG:3857) on a tile of that many pixels."""
    return burn(shapes, size, transform=_tile_transform(tile, size))


def _tile_transform(tile: Tile, size: tuple[int, int]) -> Any:
    from rasterio.transform import from_bounds

    return from_bounds(*tile.mercator(), size[1], size[0])


@dataclass(frozen=True)
class BoxTask:
    folder: Path
    request: TileRequest
    tile: Tile
    shapes: tuple[Burnable, ...]
    classes: int
    features: str = ""


def mercator_shapes(request: TileRequest, features: Features) -> list[Burnable]:
    """(geometry in EPSG:3857, class index); a rule's buffer is in pixels of a 256-pixel tile, as in Label Maker."""
    from .rasterization import ClassRule
    from .slippy import EARTH

    pixel = EARTH / 2**request.zoom / 256
    rules = [
        ClassRule(rule.name, rule.accepts, rule.buffer * pixel, rule.index) for rule in read_rules(request.classes)
    ]
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
    """Fetch the tiles of a box, burn the features into masks. Tiles the server lacks are skipped and reported."""
    from shapely import STRtree
    from shapely.geometry import box

    found = read_features(features)
    shapes = mercator_shapes(request, found)
    tree = STRtree([shape[0] for shape in shapes]) if shapes else None
    classes = class_names(request.classes)
    tasks = []
    chosen = choose_tiles(request, shapes)
    if shapes and not any(tree and len(tree.query(box(*tile.mercator()), predicate="intersects")) for tile in chosen):
        raise ManifestError(_explain(request, found, str(features)))
    for tile in chosen[:limit]:
        hits = sorted(int(i) for i in tree.query(box(*tile.mercator()), predicate="intersects")) if tree else []
        tasks.append(
            (
                tile.name,
                BoxTask(folder, request, tile, tuple(shapes[i] for i in hits), len(classes), str(features)),
            )
        )
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
        came={"image": len(chosen), "feature": found.came},
        early=[
            *found.losses,
            *unclassified(found.items, read_rules(request.classes), str(features)),
            *(Skipped(tile.name, "--limit", kind="note") for tile in chosen[len(tasks) :]),
        ],
        afterwards=lambda outcomes: _lost_features(outcomes, found, request, str(features), limit),
        limited=limit is not None,
        notify=notify,
        workers=workers or burning_processes([task for _, task in tasks], os.cpu_count() or 1),
    )


def _explain(request: TileRequest, found: Features, source: str) -> str:
    from .overlap import Extent, explain_miss, extent_of_features

    extent = extent_of_features(found, source)
    area = Extent("the box", request.bbox, request.bbox, "EPSG:4326")
    return explain_miss([extent] if extent else [], [area])


def _lost_features(
    outcomes: Sequence[Outcome], found: Features, request: TileRequest, source: str, limit: int | None
) -> list[Loss]:
    """Features that no tile shows: beside the box, which was asked for, or without a pixel."""
    from shapely.geometry import box

    drawn = {number for o in outcomes if isinstance(o, Drawn) for number in o.numbers}
    rules = read_rules(request.classes)
    left = [
        feature
        for feature in reproject(found, "OGC:CRS84").items
        if feature.number not in drawn
        and any(rule.accepts(feature.properties, feature.geometry.geom_type) for rule in rules)
    ]
    area = box(*request.bbox)
    losses = []
    for feature in left:
        is_beside = not feature.geometry.intersects(area)
        words = (
            "outside the box"
            if is_beside
            else "no pixel of its own: smaller than one, under another class, or on a tile left out"
        )
        kind: Any = "note" if is_beside or limit is not None else "lost"
        losses.append(Loss("feature", words, f"feature {feature.number} of {source}", kind=kind))
    return losses


def burning_processes(tasks: Sequence[BoxTask], cores: int) -> int:
    """How many processes burn the tiles soonest: 1 where starting more would cost what they save."""
    from shapely import get_num_coordinates

    wanted = min(cores, len(tasks) // TILES_A_PROCESS)
    if wanted < 2:
        return 1
    points = sum(int(get_num_coordinates([shape[0] for shape in task.shapes]).sum()) for task in tasks)
    return wanted if points <= MOST_POINTS * len(tasks) else 1


def _prefetch(tasks: Sequence[BoxTask], connections: int) -> None:
    """Fill the cache with a few connections at once; what fails is met again, and reported, tile by tile."""

    def quietly(task: BoxTask) -> None:
        try:
            fetch_tile(task.request, task.tile, task.folder)
        except GtsegError:
            return

    with ThreadPoolExecutor(max(1, connections)) as pool:
        list(pool.map(quietly, tasks))


def convert_box_tile(task: BoxTask) -> list[Outcome]:
    tile = task.tile
    try:
        path = fetch_tile(task.request, tile, task.folder)
        if path is None:
            return [Skipped(tile.name, "the imagery server has no such tile")]
        photo = read_photograph(path)
        burned = burn_numbered(task.shapes, photo.size, transform=_tile_transform(tile, photo.size))
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
    return [item, Drawn(task.features, burned.numbers)]
