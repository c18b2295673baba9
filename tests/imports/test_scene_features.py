import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from geo_files import BUILDING, UTM, import_folder, import_scenes, square, write_features, write_scene
from PIL import Image
from rasterio.transform import from_origin

from gtseg.imports.geo_settings import GeoSettings
from gtseg.imports.scene_pairs import Scene


@pytest.mark.parametrize(
    ("crs", "transform"),
    [
        ("EPSG:4326", from_origin(179.995, 50, 1e-4, 1e-4)),
        ("EPSG:32660", from_origin(714_000, 5_542_000, 50, 50)),
    ],
)
def test_features_beyond_the_antimeridian_are_drawn_on_a_scene_that_crosses_it(
    tmp_path: Path, crs: str, transform: Any
) -> None:
    write_scene(tmp_path / "scenes/a.tif", crs=crs, transform=transform)
    write_features(tmp_path / "labels.geojson", square(-179.998, 49.96 if crs == "EPSG:32660" else 49.995))
    report, _ = import_folder(tmp_path)
    assert report.account.flow("feature").outputs == 1
    assert report.pixels["building"] > 10


def test_a_scene_takes_the_features_of_its_date(tmp_path: Path) -> None:
    """NASA's case: images of an event by date, and one file with the features of all events."""
    polygon = square(500_010, 3_999_980, 10)
    path = write_features(tmp_path / "events.geojson", polygon, properties=[{"seen": "2018-07-14"}], epsg=32616)
    for date in ("20180714T1030", "2018-07-15"):
        write_scene(tmp_path / f"goes_{date}.tif", np.ones((1, 64, 64), np.uint8), **UTM)
    scenes = [Scene(str(p), (path,), p.stem) for p in sorted(tmp_path.glob("*.tif"))]
    import_scenes(tmp_path / "o", GeoSettings(BUILDING, chip=64, date_attribute="seen"), *scenes)
    found = {p.stem: bool(np.asarray(Image.open(p)).any()) for p in (tmp_path / "o" / "masks").glob("*.png")}
    assert found == {"goes_20180714T1030_0_0": True, "goes_2018-07-15_0_0": False}


def test_a_scene_without_a_date_in_its_name_is_skipped_with_date_attribute(tmp_path: Path) -> None:
    write_scene(tmp_path / "scenes/a.tif")
    write_features(tmp_path / "labels.geojson", square(10.002, 49.995), properties=[{"seen": "2018-07-14"}])
    report, _ = import_folder(tmp_path, date_attribute="seen")
    assert [("has no date" in item.reason, item.unit) for item in report.skipped] == [(True, "scene")]


def test_coordinates_beyond_degrees_without_crs_are_in_the_scenes_system(tmp_path: Path) -> None:
    scene = write_scene(tmp_path / "a.tif", np.ones((1, 64, 64), np.uint8), **UTM)
    (tmp_path / "f.geojson").write_text(json.dumps(square(500_010, 3_999_980, 10)))
    report = import_scenes(
        tmp_path / "o", GeoSettings(BUILDING, chip=64), Scene(str(scene), (tmp_path / "f.geojson",), "a")
    )
    assert report.pixels["building"] == 100
