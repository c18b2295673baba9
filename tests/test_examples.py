"""docs/examples.md: every block is executed against the embedded AWS."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
DATA = ROOT / "tests" / "data"
PAGE = (ROOT / "docs" / "examples.md").read_text(encoding="utf-8")
SECTIONS = {part.split(".", 1)[0]: part for part in re.split(r"^## ", PAGE, flags=re.M)[1:]}


BLOCKER = """
import os, socket

def refuse(self, address, connect=socket.socket.connect):
    if self.family in (socket.AF_INET, socket.AF_INET6) and address[0] not in ("127.0.0.1", "::1", "localhost"):
        with open(os.environ["GTSEG_TEST_OUTBOUND"], "a") as log:
            print(address, file=log)
        raise OSError("this machine is offline")
    return connect(self, address)

socket.socket.connect = refuse
"""


@pytest.fixture
def outbound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make every Python process of the test refuse connections to other machines; the file lists attempts."""
    (tmp_path / "offline").mkdir()
    (tmp_path / "offline" / "sitecustomize.py").write_text(BLOCKER)
    log = tmp_path / "outbound.log"
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "offline"))
    monkeypatch.setenv("GTSEG_TEST_OUTBOUND", str(log))
    return log


def block(number: int) -> str:
    found = re.search(r"```sh\n(.*?)```", SECTIONS[str(number)], re.S)
    assert found
    return found[1]


def run(number: int, folder: Path, server: Any) -> str:
    """Run the section's block in bash up to the first failing command and return its output."""
    scripts = folder / "bin"
    scripts.mkdir()
    (scripts / "gtseg").write_text(f'#!/bin/sh\nexec {sys.executable} -W ignore -m gtseg "$@"\n')
    (scripts / "gtseg").chmod(0o755)
    environment = {
        **server.environment,
        "PATH": f"{scripts}{os.pathsep}{os.environ['PATH']}",
        "OMP_NUM_THREADS": "1",
    }
    done = subprocess.run(
        ["bash", "-ec", block(number)],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return done.stdout + done.stderr


def test_the_example_of_a_finished_ground_truth_job_runs(tmp_path: Path, start_local_aws: Any) -> None:
    server = start_local_aws()
    s3 = server.client("s3")
    s3.create_bucket(Bucket="pcbtest22")
    line = json.loads((DATA / "pcb-3-classes" / "output.manifest").read_text())
    mask = DATA / "pcb-3-classes" / "mask.png"
    Image.new("RGB", Image.open(mask).size, "green").save(tmp_path / "board.png")
    for uri, path in ((line["source-ref"], tmp_path / "board.png"), (line["S10-label3-ref"], mask)):
        s3.upload_file(str(path), "pcbtest22", uri.removeprefix("s3://pcbtest22/"))
    key = "label/S10-label3/manifests/output/output.manifest"
    s3.upload_file(str(DATA / "pcb-3-classes" / "output.manifest"), "pcbtest22", key)
    run(1, tmp_path, server)
    (split,) = (tmp_path / "boards-coco" / "annotations").iterdir()
    names = [category["name"] for category in json.loads(split.read_text())["categories"]]
    assert names == ["IC", "resistor1", "resistor2"]


def test_the_example_of_photographs_and_a_team_runs(tmp_path: Path, start_local_aws: Any) -> None:
    shutil.copytree(DATA / "cats" / "images", tmp_path / "photos")
    count = len(list((tmp_path / "photos").iterdir()))
    server = start_local_aws(options={"crowd_masks": DATA / "cats" / "masks", "crowd_workers": 4, "crowd_error": 0.05})
    assert f"{count} labeled, 0 failed" in run(2, tmp_path, server)
    assert json.loads((tmp_path / "request.json").read_text())


def test_the_example_of_label_makers_tiles_runs(tmp_path: Path, start_local_aws: Any) -> None:
    from gtseg.imports.features import read_features
    from gtseg.imports.imagery import TileRequest, burn_tile, mercator_shapes
    from gtseg.imports.tiles import tile_files

    folder = tmp_path / "label-maker"
    shutil.copytree(DATA / "tiles" / "label-maker" / "tiles", folder / "tiles")
    config = json.loads((DATA / "tiles" / "label-maker" / "config.json").read_text())
    # No pixel of these few tiles is farmland: a class that comes in empty is a loss, which ends the block with 5.
    config["classes"] = [c for c in config["classes"] if c["name"] != "Farmland"]
    (folder / "config.json").write_text(json.dumps(config))
    classes = tuple(config["classes"])
    shapes = mercator_shapes(
        TileRequest((0, 0, 1, 1), 17, "", classes),
        read_features(DATA / "tiles" / "label-maker" / "labels.geojson"),
    )
    tiles = tile_files(folder / "tiles", {".jpg"})
    labels: dict[str, Any] = {f"{t.x}-{t.y}-{t.z}": burn_tile(t, shapes, (256, 256)) for t in tiles}
    np.savez(folder / "labels.npz", **labels)
    assert "Roads" in run(3, tmp_path, start_local_aws())


def test_the_example_of_spacenet_with_deeplab_and_tuning_runs_offline(
    tmp_path: Path, outbound: Path, start_local_aws: Any
) -> None:
    shutil.copytree(DATA / "geo" / "images", tmp_path / "PS-RGB")
    shutil.copytree(DATA / "geo" / "features", tmp_path / "geojson_buildings")
    run(4, tmp_path, start_local_aws(options={"train_seconds": 20}))
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["evaluation"]["split"] == "test"
    assert json.loads((tmp_path / "buildings.geojson").read_text())["type"] == "FeatureCollection"
    assert not outbound.exists(), outbound.read_text()


def test_the_example_of_shapefiles_of_events_runs(tmp_path: Path, start_local_aws: Any) -> None:
    import rasterio
    import shapefile
    from rasterio.transform import from_origin

    bands = np.random.default_rng(0).integers(200, 3000, (4, 512, 512), dtype=np.uint16)
    with rasterio.open(
        tmp_path / "event.tif",
        "w",
        driver="GTiff",
        height=512,
        width=512,
        count=4,
        dtype="uint16",
        crs="EPSG:32631",
        transform=from_origin(500_000, 5_000_000, 10, 10),
    ) as out:
        out.write(bands)
    with shapefile.Writer(str(tmp_path / "event")) as writer:
        writer.field("kind", "C")
        for n, kind in enumerate(["flood", "fire", "flood"]):
            x, y = 500_200 + 1700 * n, 4_999_000 - 1500 * n
            writer.poly([[[x, y], [x, y + 600], [x + 700, y + 600], [x + 700, y], [x, y]]])
            writer.record(kind)
    (tmp_path / "event.prj").write_text(rasterio.crs.CRS.from_epsg(32631).to_wkt())
    shutil.copy(DATA / "geo" / "sar_hh.tif", tmp_path / "sar.tif")
    printed = run(5, tmp_path, start_local_aws())
    assert "flood" in printed
    assert "fire" in printed


@pytest.mark.parametrize("number", range(1, 6))
def test_each_example_is_short(number: int) -> None:
    assert len(block(number).splitlines()) <= 12
