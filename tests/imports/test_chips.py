import json
from pathlib import Path

import numpy as np
import pytest
import rasterio
from geo_files import BUILDING, DATA, HOUSE, UTM, import_folder, import_scenes, reasons, write_features, write_scene
from PIL import Image
from rasterio.features import rasterize

from gtseg.errors import SettingsError
from gtseg.imports.features import read_features
from gtseg.imports.geo import import_geo
from gtseg.imports.geo_settings import GeoSettings
from gtseg.imports.georeferencing import read_places
from gtseg.imports.scene_pairs import Scene, pair_scenes


def test_masks_of_spacenet_chips_equal_those_of_rasterio(tmp_path: Path) -> None:
    scenes, missing = pair_scenes(DATA / "images", DATA / "features")
    assert len(scenes) == 5
    assert all(loss.kind == "note" for loss in missing)
    report = import_geo(scenes, tmp_path, GeoSettings(BUILDING, chip=90), name="spacenet", workers=2)
    assert report.images == 5
    for scene in scenes:
        with rasterio.open(scene.image) as source:
            shapes = [f.geometry for f in read_features(scene.features[0]).items]
            truth = (
                rasterize(shapes, out_shape=source.shape, transform=source.transform)
                if shapes
                else np.zeros(source.shape)
            )
            truth = np.where(source.read_masks(1) == 0, 2, truth)  # void is the index after the classes
        mask = np.asarray(Image.open(tmp_path / "masks" / f"{scene.name}_0_0.png"))
        assert (mask == truth).all()


def test_pixels_without_data_are_void_in_the_mask_and_recorded_in_places(tmp_path: Path) -> None:
    bands = np.full((3, 64, 64), 500, np.uint16)
    bands[:, :10] = 0
    path = write_scene(tmp_path / "a.tif", bands, nodata=0, **UTM)
    import_scenes(tmp_path / "out", GeoSettings(BUILDING, chip=64), Scene(str(path), (), "a"))
    line = json.loads((tmp_path / "out" / "output.manifest").read_text())
    assert line["geo-ref-metadata"]["internal-color-map"]["2"] == {
        "class-name": "void",
        "hex-color": "#000000",
        "confidence": 0,
    }
    mask = np.asarray(Image.open(tmp_path / "out" / line["geo-ref"]))
    assert (mask[:10] == 2).all()
    assert (mask[10:] == 0).all()
    (place,) = read_places(tmp_path / "out").values()
    assert np.array_equal(np.asarray(Image.open(place["nodata"])), mask == 2)


def test_background_chips_are_kept_at_the_given_ratio(tmp_path: Path) -> None:
    path = write_scene(tmp_path / "a.tif", np.ones((1, 256, 256), np.uint8), **UTM)
    ring = [[500_001, 3_999_999], [500_009, 3_999_999], [500_009, 3_999_990], [500_001, 3_999_999]]
    features = write_features(tmp_path / "f.geojson", {"type": "Polygon", "coordinates": [ring]}, epsg=32616)
    scene = Scene(str(path), (features,), "a")
    assert import_scenes(tmp_path / "all", GeoSettings(BUILDING, chip=64), scene).images == 16
    assert import_scenes(tmp_path / "few", GeoSettings(BUILDING, chip=64, background_ratio=2), scene).images == 3


def test_complex_sar_is_imported_only_in_decibels(tmp_path: Path) -> None:
    scene = Scene(str(DATA / "sar_hh.tif"), (), "sar")
    rejected = import_scenes(tmp_path / "a", GeoSettings(BUILDING, chip=200), scene)
    assert "decibels (--db)" in rejected.skipped[0].reason
    report = import_scenes(tmp_path / "b", GeoSettings(BUILDING, chip=200, decibels=True), scene)
    pixels = np.asarray(Image.open(tmp_path / "b" / "images" / "sar_0_0.jpg"))
    assert report.images == 1
    assert pixels.std() > 20


def test_a_band_that_the_scene_lacks_is_an_error(tmp_path: Path) -> None:
    path = write_scene(tmp_path / "a.tif", np.ones((4, 32, 32), np.uint8), **UTM)
    with pytest.raises(SettingsError, match=r"bands \[5\]"):
        import_scenes(tmp_path / "o", GeoSettings(BUILDING, chip=32, bands=(5,)), Scene(str(path), (), "a"))


def test_an_unreadable_scene_is_skipped(tmp_path: Path) -> None:
    (tmp_path / "a.tif").write_bytes(b"II*\0 not a tiff")
    report = import_scenes(tmp_path / "o", GeoSettings(BUILDING), Scene(str(tmp_path / "a.tif"), (), "a"))
    assert report.images == 0
    assert "a.tif" in report.skipped[0].source


def test_large_areas_of_zeros_without_a_no_data_value_are_noted(tmp_path: Path) -> None:
    bands = np.full((3, 128, 128), 90, np.uint8)
    bands[:, :, :40] = 0
    write_scene(tmp_path / "scenes/a.tif", bands)
    write_features(tmp_path / "labels.geojson", HOUSE)
    assert any("--nodata 0" in reason for reason in reasons(import_folder(tmp_path)[0].account))


def test_all_pixels_of_ten_thousand_polygons_on_two_hundred_chips_are_counted(tmp_path: Path) -> None:
    """Each polygon is a square of 4 x 4 pixels that touches no other."""
    path = write_scene(tmp_path / "a.tif", np.ones((1, 1000, 1280), np.uint8), **UTM)
    squares = []
    for n in range(10_000):
        x, y = 500_000 + 12 * (n % 100) + 2, 4_000_000 - 9 * (n // 100) - 2
        ring = [[x, y], [x + 4, y], [x + 4, y - 4], [x, y - 4], [x, y]]
        squares.append({"type": "Polygon", "coordinates": [ring]})
    features = write_features(tmp_path / "f.geojson", *squares, epsg=32616)
    report = import_scenes(tmp_path / "o", GeoSettings(BUILDING, chip=80), Scene(str(path), (features,), "a"))
    assert report.images == 208
    assert report.pixels["building"] >= 10_000 * 16
    assert report.pixels["building"] + report.pixels["BACKGROUND"] == 208 * 6400 >= 1000 * 1280
