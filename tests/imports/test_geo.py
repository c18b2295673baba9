import json
from pathlib import Path

import numpy as np
import pytest
import rasterio
from PIL import Image
from rasterio.features import rasterize
from rasterio.transform import from_origin

from gtseg.errors import ManifestError, SettingsError
from gtseg.imports import geo
from gtseg.imports.features import read_features
from gtseg.imports.footprints import Placed, to_feature_collection
from gtseg.imports.geo import (
    GeoSettings,
    Scene,
    cut_of,
    import_geo,
    pair_scenes,
    rules_by_attribute,
    single_class,
    stretch_of,
)
from gtseg.imports.georeferencing import read_places
from gtseg.imports.scenes import open_scene

DATA = Path(__file__).parent.parent / "data" / "geo"
BUILDING = single_class("building")


def chips(folder: Path, settings: GeoSettings, *scenes: Scene):
    return import_geo(scenes, folder, settings, name="geo", workers=1)


def scene_file(path: Path, bands: np.ndarray, **more: object) -> Path:
    count, height, width = bands.shape
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        height=height,
        width=width,
        count=count,
        dtype=bands.dtype,
        crs="EPSG:32616",
        transform=from_origin(500_000, 4_000_000, 1, 1),
        **more,
    ) as out:
        out.write(bands)
    return path


def test_spacenet_tiles_are_burned_as_rasterio_burns_them(tmp_path: Path) -> None:
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


def test_footprints_come_back_with_their_area(tmp_path: Path) -> None:
    path = DATA / "images" / "sample_geotiff_733826_3725049.tif"
    went_in = read_features(DATA / "features" / "geoms_733826_3725049.geojson")
    with rasterio.open(path) as source:
        mask = rasterize([f.geometry for f in went_in.items], out_shape=source.shape, transform=source.transform)
        came_out = to_feature_collection(
            [Placed(mask.astype(np.uint8), source.transform, str(source.crs))],
            ["building"],
            tolerance=0,
            smallest=0,
        )
        pixel = abs(source.transform.a * source.transform.e)
        box = __import__("shapely").box(*source.bounds)
    inside = sum(f.geometry.intersection(box).area for f in went_in.items)
    edge = sum(f.geometry.intersection(box).length for f in went_in.items)
    assert abs(sum(f["properties"]["area"] for f in came_out["features"]) - inside) < edge * pixel**0.5


def test_nodata_becomes_void_of_its_own_colour(tmp_path: Path) -> None:
    bands = np.full((3, 64, 64), 500, np.uint16)
    bands[:, :10] = 0
    path = scene_file(tmp_path / "a.tif", bands, nodata=0)
    chips(tmp_path / "out", GeoSettings(BUILDING, chip=64), Scene(str(path), (), "a"))
    line = json.loads((tmp_path / "out" / "output.manifest").read_text())
    assert line["geo-ref-metadata"]["internal-color-map"]["2"] == {
        "class-name": "void",
        "hex-color": "#000000",
        "confidence": 0,
    }
    mask = np.asarray(Image.open(tmp_path / "out" / line["geo-ref"]))
    assert (mask[:10] == 2).all()
    assert (mask[10:] == 0).all()
    (place,) = read_places(tmp_path / "out").values()  # what is drawn from a prediction knows it too
    assert np.array_equal(np.asarray(Image.open(place["nodata"])), mask == 2)


def test_a_second_run_does_nothing_twice_and_an_interrupted_one_goes_on(tmp_path: Path) -> None:
    scenes, _ = pair_scenes(DATA / "images", DATA / "features")
    settings = GeoSettings(BUILDING, chip=90)
    import_geo(scenes[:2], tmp_path, settings, name="geo", workers=1)
    with (tmp_path / "journal.jsonl").open("a") as journal:
        journal.write('{"key": "half')
    first = (tmp_path / "masks" / f"{scenes[0].name}_0_0.png").stat().st_mtime_ns
    report = import_geo(scenes, tmp_path, settings, name="geo", workers=1)
    assert report.images == 5
    assert (tmp_path / "masks" / f"{scenes[0].name}_0_0.png").stat().st_mtime_ns == first


def test_other_settings_do_not_mix_into_an_import(tmp_path: Path) -> None:
    scenes, _ = pair_scenes(DATA / "images", DATA / "features")
    import_geo(scenes[:1], tmp_path, GeoSettings(BUILDING, chip=90), name="geo", workers=1)
    with pytest.raises(ManifestError, match="other settings"):
        import_geo(scenes[:1], tmp_path, GeoSettings(BUILDING, chip=64), name="geo", workers=1)


def test_background_chips_are_kept_at_their_ratio(tmp_path: Path) -> None:
    path = scene_file(tmp_path / "a.tif", np.ones((1, 256, 256), np.uint8))
    polygon = {
        "type": "Polygon",
        "coordinates": [[[500_001, 3_999_999], [500_009, 3_999_999], [500_009, 3_999_990], [500_001, 3_999_999]]],
    }
    (tmp_path / "f.geojson").write_text(json.dumps(polygon))
    scene = Scene(str(path), (tmp_path / "f.geojson",), "a")
    assert chips(tmp_path / "all", GeoSettings(BUILDING, chip=64), scene).images == 16
    assert chips(tmp_path / "few", GeoSettings(BUILDING, chip=64, background_ratio=2), scene).images == 3


def test_complex_sar_goes_through_decibels(tmp_path: Path) -> None:
    scene = Scene(str(DATA / "sar_hh.tif"), (), "sar")
    refused = chips(tmp_path / "a", GeoSettings(BUILDING, chip=200), scene)
    assert "decibels" in refused.skipped[0].reason
    report = chips(tmp_path / "b", GeoSettings(BUILDING, chip=200, decibels=True), scene)
    pixels = np.asarray(Image.open(tmp_path / "b" / "images" / "sar_0_0.jpg"))
    assert report.images == 1
    assert pixels.std() > 20


def test_a_band_that_is_not_there_is_named(tmp_path: Path) -> None:
    path = scene_file(tmp_path / "a.tif", np.ones((4, 32, 32), np.uint8))
    with pytest.raises(SettingsError, match=r"bands \[5\]"):
        chips(tmp_path / "o", GeoSettings(BUILDING, chip=32, bands=(5,)), Scene(str(path), (), "a"))


def test_an_unreadable_scene_is_skipped_with_its_reason(tmp_path: Path) -> None:
    (tmp_path / "a.tif").write_bytes(b"II*\0 not a tiff")
    report = chips(tmp_path / "o", GeoSettings(BUILDING), Scene(str(tmp_path / "a.tif"), (), "a"))
    assert report.images == 0
    assert "a.tif" in report.skipped[0].source


def test_classes_come_from_an_attribute() -> None:
    features = read_features(DATA / "features" / "geoms_733826_3725049.geojson")
    with pytest.raises(SettingsError, match="no feature has it"):
        rules_by_attribute(features, "damage")


def test_a_new_scene_is_cut_and_stretched_like_an_earlier_import(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    dark = scene_file(tmp_path / "dark.tif", rng.integers(0, 1000, (3, 64, 64), dtype=np.uint16))
    bright = scene_file(tmp_path / "bright.tif", rng.integers(5000, 9000, (3, 64, 64), dtype=np.uint16))
    chips(tmp_path / "first", GeoSettings(BUILDING, chip=32, bands=(3, 2, 1)), Scene(str(dark), (), "dark"))
    assert cut_of(tmp_path / "first") == (32, 0, (3, 2, 1))
    settings = GeoSettings(BUILDING, chip=32, bands=(3, 2, 1), stretch=stretch_of(tmp_path / "first"))
    chips(tmp_path / "second", settings, Scene(str(bright), (), "bright"))
    assert np.asarray(Image.open(tmp_path / "second" / "images" / "bright_0_0.jpg")).min() > 250


def test_like_needs_an_import_of_scenes(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="--like"):
        cut_of(tmp_path)


def test_ten_thousand_polygons_over_two_hundred_chips_come_in_whole(tmp_path: Path) -> None:
    """Each polygon is one square of 4 x 4 pixels that no other touches: every pixel of every one is counted."""
    path = scene_file(tmp_path / "a.tif", np.ones((1, 1000, 1280), np.uint8))
    squares = []
    for n in range(10_000):
        x, y = 500_000 + 12 * (n % 100) + 2, 4_000_000 - 9 * (n // 100) - 2
        squares.append([[[x, y], [x + 4, y], [x + 4, y - 4], [x, y - 4], [x, y]]])
    features = [
        {"type": "Feature", "properties": {}, "geometry": {"type": "Polygon", "coordinates": s}} for s in squares
    ]
    crs = {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::32616"}}
    (tmp_path / "f.geojson").write_text(json.dumps({"type": "FeatureCollection", "crs": crs, "features": features}))
    report = chips(tmp_path / "o", GeoSettings(BUILDING, chip=80), Scene(str(path), (tmp_path / "f.geojson",), "a"))
    assert report.images == 208
    inside = 1000 * 1280
    assert report.pixels["building"] >= 10_000 * 16
    assert report.pixels["building"] + report.pixels["BACKGROUND"] == 208 * 6400 >= inside


def test_each_days_image_takes_that_days_polygons(tmp_path: Path) -> None:
    """NASA's case: event images by date, one shapefile of all events."""
    ring = [[500_010, 3_999_990], [500_020, 3_999_990], [500_020, 3_999_980], [500_010, 3_999_990]]
    crs = {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::32616"}}
    feature = {
        "type": "Feature",
        "properties": {"seen": "2018-07-14"},
        "geometry": {"type": "Polygon", "coordinates": [ring]},
    }
    (tmp_path / "events.geojson").write_text(
        json.dumps({"type": "FeatureCollection", "crs": crs, "features": [feature]})
    )
    for day in ("20180714T1030", "2018-07-15"):
        scene_file(tmp_path / f"goes_{day}.tif", np.ones((1, 64, 64), np.uint8))
    scenes = [Scene(str(p), (tmp_path / "events.geojson",), p.stem) for p in sorted(tmp_path.glob("*.tif"))]
    chips(tmp_path / "o", GeoSettings(BUILDING, chip=64, date_attribute="seen"), *scenes)
    found = {p.stem: bool(np.asarray(Image.open(p)).any()) for p in (tmp_path / "o" / "masks").glob("*.png")}
    assert found == {"goes_20180714T1030_0_0": True, "goes_2018-07-15_0_0": False}


def test_bands_that_nobody_chose_are_named(tmp_path: Path) -> None:
    path = scene_file(tmp_path / "four.tif", np.ones((4, 8, 8), np.uint16))
    (note,) = geo._untaken_bands([Scene(str(path), (), "a")], GeoSettings(BUILDING))
    assert (note.kind, "of 4 bands gives 1, 2, 3 (--bands takes others)" in note.text) == ("note", True)
    assert geo._untaken_bands([Scene(str(path), (), "a")], GeoSettings(BUILDING, bands=(4,))) == []


def test_a_scene_without_a_place_is_opened_without_a_warning(tmp_path: Path, recwarn: pytest.WarningsRecorder) -> None:
    path = tmp_path / "bare.tif"
    with rasterio.open(path, "w", driver="GTiff", height=4, width=4, count=1, dtype="uint8"):
        pass
    recwarn.clear()
    with open_scene(str(path)) as scene:
        assert scene.crs is None
    assert not recwarn.list


def test_gdal_keeps_a_row_of_chips_and_no_more() -> None:
    """rasterio takes bytes here, GDAL itself megabytes: too few, and each block is read for each pixel."""
    from rasterio._env import get_gdal_config

    with geo._reading(geo.Scene("scene.tif")):
        assert get_gdal_config("GDAL_CACHEMAX") == 128 * 2**20
