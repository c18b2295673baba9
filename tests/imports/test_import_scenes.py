from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from geo_files import HOUSE, import_folder, reasons, square, write_features, write_scene
from rasterio.control import GroundControlPoint
from rasterio.crs import CRS
from rasterio.transform import Affine

from gtseg.imports.scenes import gdal_environment, open_scene


def test_nan_is_no_data(tmp_path: Path) -> None:
    bands = np.random.default_rng(0).random((1, 128, 128)).astype(np.float32)
    bands[:, :80] = np.nan
    write_scene(tmp_path / "scenes/a.tif", bands)
    write_features(tmp_path / "labels.geojson", HOUSE)
    report, masks = import_folder(tmp_path)
    assert set(masks) == {"a_64_0", "a_64_64"}
    assert (masks["a_64_0"][:16] == 2).all()
    assert reasons(report.account)["no data in the whole chip"] == (2, "note")


@pytest.mark.parametrize("settings", [{"decibels": True}, {"nodata": 0}])
def test_zeros_are_no_data_with_decibels_or_as_the_no_data_value(tmp_path: Path, settings: dict) -> None:
    bands = np.random.default_rng(0).integers(10, 3000, (1, 128, 128)).astype(np.uint16)
    bands[:, :, :40] = 0
    write_scene(tmp_path / "scenes/a.tif", bands)
    write_features(tmp_path / "labels.geojson", square(10.006, 49.995))
    _, masks = import_folder(tmp_path, **settings)
    assert all((masks[name][:, :40] == 2).all() for name in ("a_0_0", "a_64_0"))


def test_an_alpha_channel_with_image_data_hides_no_pixel(tmp_path: Path) -> None:
    bands = np.random.default_rng(0).integers(1, 254, (4, 128, 128), dtype=np.uint8)
    bands[3, :20] = 0
    write_scene(tmp_path / "infrared/scenes/a.tif", bands, photometric="RGB", alpha="YES")
    write_features(tmp_path / "infrared/labels.geojson", HOUSE)
    assert "void" not in import_folder(tmp_path / "infrared")[0].pixels
    bands[3] = 255
    bands[3, :20] = 0
    write_scene(tmp_path / "alpha/scenes/a.tif", bands, photometric="RGB", alpha="YES")
    write_features(tmp_path / "alpha/labels.geojson", HOUSE)
    assert import_folder(tmp_path / "alpha")[0].pixels["void"] == 20 * 128


def write_control_points(path: Path, bend: float) -> None:
    """Write a scene that is georeferenced by nine ground control points, on a plane if `bend` is 0."""
    path.parent.mkdir(parents=True, exist_ok=True)
    points = [
        GroundControlPoint(r, c, 10 + c * 1e-4 + r * c * bend, 50 - r * 1e-4)
        for r in (0, 64, 128)
        for c in (0, 64, 128)
    ]
    with rasterio.open(path, "w", driver="GTiff", height=128, width=128, count=1, dtype="uint16") as out:
        out.write(np.full((1, 128, 128), 90, np.uint16))
        out.gcps = (points, CRS.from_epsg(4326))


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_ground_control_points_georeference_a_scene(tmp_path: Path) -> None:
    write_control_points(tmp_path / "plane/scenes/a.tif", 0)
    write_features(tmp_path / "plane/labels.geojson", HOUSE)
    report, masks = import_folder(tmp_path / "plane")
    assert (report.images, sum((mask == 1).sum() for mask in masks.values())) == (4, 400)
    write_control_points(tmp_path / "bent/scenes/a.tif", 3e-7)
    write_features(tmp_path / "bent/labels.geojson", HOUSE)
    report, _ = import_folder(tmp_path / "bent")
    assert report.account.flow("feature").outputs == 1
    assert report.pixels["void"] > 0  # the warped image does not fill its bounding box


def test_features_are_drawn_on_a_rotated_scene(tmp_path: Path) -> None:
    write_scene(tmp_path / "scenes/a.tif", transform=Affine(1e-4, 5e-5, 10, 5e-5, -1e-4, 50))
    write_features(tmp_path / "labels.geojson", square(10.006, 49.995))
    assert import_folder(tmp_path)[0].pixels["building"] == 320  # 0.002 x 0.002 degrees, 1.25e-8 per pixel


def test_a_scene_without_georeference_is_opened_without_a_warning(
    tmp_path: Path, recwarn: pytest.WarningsRecorder
) -> None:
    path = tmp_path / "bare.tif"
    with rasterio.open(path, "w", driver="GTiff", height=4, width=4, count=1, dtype="uint8"):
        pass
    recwarn.clear()
    with open_scene(str(path)) as scene:
        assert scene.crs is None
    assert not recwarn.list


@pytest.mark.parametrize("options", [(), (("AWS_NO_SIGN_REQUEST", "YES"), ("AWS_REGION", "us-east-1"))])
def test_the_block_cache_is_limited_to_128_mib(options: Any) -> None:
    """rasterio's unit is bytes, GDAL's own megabytes; with a much smaller cache, GDAL reads a block for every pixel."""
    from rasterio._env import get_gdal_config

    with gdal_environment(options):
        assert get_gdal_config("GDAL_CACHEMAX") == 128 * 2**20
