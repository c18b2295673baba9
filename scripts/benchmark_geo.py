"""Seconds and memory of cutting, stitching and vectorizing scenes and tile trees, for few and for many tiles.

    scripts/benchmark geo [--tiles 1000 10000] [--side 128] [--scenes 4096 8192]

Each measurement is a process of its own: `import geo` of one scene of so many pixels a side (chips of 512), then
`predict --tiles` and `--features` of so many predicted masks of neighboring tiles with a building across every second
border. CPU seconds, peak memory.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

HERE = Path(__file__).resolve().parent
ZOOM, WEST, NORTH = 18, 70000, 104000
VECTORIZE = """
import sys
from pathlib import Path
from gtseg.imports.georeferencing import write_features, write_tile_tree
masks, out = Path(sys.argv[1]), Path(sys.argv[2])
print(write_tile_tree(masks, out / "tree", places={}), write_features(masks, out / "f.geojson", ["house"], places={}))
"""


CUT = """
from pathlib import Path
from gtseg.imports.class_rules import single_class
from gtseg.imports.geo import import_geo
from gtseg.imports.geo_settings import GeoSettings
from gtseg.imports.scene_pairs import Scene
scene = Scene("images/scene_1.tif", (Path("features/scene_1.geojson"),), "scene_1")
settings = GeoSettings(classes=single_class("house"), chip=512)
import_geo([scene], Path("out"), settings, name="bench", workers=1)
print(len(list(Path("out/images").glob("*"))))
"""


def draw_masks(folder: Path, tiles: int, side: int) -> None:
    """z/x/y.png of a square of tiles: three houses in each, and one across its eastern border in every second."""
    across = int(np.ceil(tiles**0.5))
    for number in range(tiles):
        row, column = divmod(number, across)
        mask = np.zeros((side, side), np.uint8)
        random = np.random.default_rng(number)
        for _ in range(3):
            y, x = random.integers(side // 8, 7 * side // 8, 2)
            mask[y : y + side // 10, x : min(x + side // 10, side - 2)] = 1
        if column % 2 == 0:
            mask[side // 2 : side // 2 + side // 8, -side // 16 :] = 1
        else:
            mask[side // 2 : side // 2 + side // 8, : side // 16] = 1
        path = folder / str(ZOOM) / str(WEST + column) / f"{NORTH + row}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(mask).save(path)


def draw_scene(path: Path, side: int) -> None:
    """A tiled GeoTIFF of three bands, written block by block."""
    import rasterio
    from rasterio.transform import from_origin

    profile = {
        "driver": "GTiff",
        "width": side,
        "height": side,
        "count": 3,
        "dtype": "uint8",
        "crs": "EPSG:32631",
        "tiled": True,
        "blockxsize": 512,
        "blockysize": 512,
        "transform": from_origin(500000, 6000000, 0.5, 0.5),
        "compress": "deflate",
    }
    random = np.random.default_rng(0)
    with rasterio.open(path, "w", **profile) as scene:
        for _, window in scene.block_windows(1):
            scene.write(random.integers(0, 255, (3, window.height, window.width), dtype=np.uint8), window=window)


def draw_features(path: Path, side: int) -> None:
    """A building of 20 meters every 64 meters, in the scene's own system."""
    rings = []
    for x in range(500000, 500000 + side // 2, 64):
        for y in range(6000000 - side // 2, 6000000, 64):
            rings.append([[x, y], [x + 20, y], [x + 20, y + 20], [x, y + 20], [x, y]])
    features = [
        {"type": "Feature", "properties": {}, "geometry": {"type": "Polygon", "coordinates": [ring]}} for ring in rings
    ]
    crs = {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::32631"}}
    path.write_text(json.dumps({"type": "FeatureCollection", "crs": crs, "features": features}))


def run(words: list[str], folder: Path) -> tuple[float, float, float]:
    """(wall seconds, CPU seconds, peak MB) of a command that must succeed."""
    begun = time.perf_counter()
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            words, cwd=folder, stdout=log, stderr=log, env=os.environ | {"PYTHONPATH": str(HERE.parent)}
        )
        _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit((folder / "log").read_text()[-2000:])
    return time.perf_counter() - begun, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tiles", type=int, nargs="*", default=[1000, 10000])
    parser.add_argument("--side", type=int, default=128, help="pixels of a tile")
    parser.add_argument("--scenes", type=int, nargs="*", default=[4096, 8192], help="pixels of a scene's side")
    options = parser.parse_args()
    print(f"{'what':36} {'wall s':>8} {'CPU s':>8} {'peak MB':>8} {'a CPU second':>14}")
    for side in options.scenes:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            (folder / "images").mkdir()
            (folder / "features").mkdir()
            draw_scene(folder / "images" / "scene_1.tif", side)
            draw_features(folder / "features" / "scene_1.geojson", side)
            wall, cpu, peak = run([sys.executable, "-c", CUT], folder)
            chips = int((folder / "log").read_text().split()[-1])
            print(
                f"{f'import geo: {chips} chips of {side} x {side}':36} {wall:8.1f} {cpu:8.1f} {peak:8.0f} "
                f"{chips / cpu:9.1f} chips"
            )
    for tiles in options.tiles:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            draw_masks(folder / "masks", tiles, options.side)
            wall, cpu, peak = run([sys.executable, "-c", VECTORIZE, "masks", "out"], folder)
            print(
                f"{f'tree and footprints: {tiles:,} tiles':36} {wall:8.1f} {cpu:8.1f} {peak:8.0f} "
                f"{tiles / cpu:9.1f} tiles"
            )


if __name__ == "__main__":
    main()
