import json
from pathlib import Path

import pytest
import shapefile

from gtseg.errors import ManifestError
from gtseg.imports.features import read_features, reproject

SQUARE = {"type": "Polygon", "coordinates": [[[0, 0], [2, 0], [2, 2], [0, 2], [0, 0]]]}
BOWTIE = {"type": "Polygon", "coordinates": [[[0, 0], [2, 2], [2, 0], [0, 2], [0, 0]]]}


def write(path: Path, *geometries: dict | None, **more: object) -> Path:
    features = [{"type": "Feature", "geometry": g, "properties": {"n": i}} for i, g in enumerate(geometries)]
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features, **more}))
    return path


def test_the_crs_member_of_old_geojson_overrides_the_default(tmp_path: Path) -> None:
    crs = {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::32616"}}
    assert read_features(write(tmp_path / "a.geojson", SQUARE, crs=crs)).crs == "EPSG:32616"
    assert read_features(write(tmp_path / "b.geojson", SQUARE)).crs == "OGC:CRS84"


def test_an_empty_file_has_no_features(tmp_path: Path) -> None:
    (tmp_path / "a.geojson").write_text("")
    assert read_features(tmp_path / "a.geojson").items == ()


def test_invalid_geometries_are_repaired_or_lost_and_counted(tmp_path: Path) -> None:
    broken = {"type": "Polygon", "coordinates": "nowhere"}
    found = read_features(write(tmp_path / "a.geojson", SQUARE, BOWTIE, None, broken))
    assert (len(found.items), found.repaired, found.total, found.losses[0].count) == (2, 1, 4, 2)


def test_geojson_with_one_feature_per_line_is_read(tmp_path: Path) -> None:
    line = json.dumps({"type": "Feature", "geometry": SQUARE, "properties": {}})
    (tmp_path / "a.geojsonl").write_text(f"{line}\n{line}\n")
    assert len(read_features(tmp_path / "a.geojsonl").items) == 2


@pytest.mark.parametrize("text", ["{", "[1, 2]", '{"a": 1}', "hello"])
def test_a_file_that_is_no_geojson_is_rejected_with_its_name(tmp_path: Path, text: str) -> None:
    (tmp_path / "bad.geojson").write_text(text)
    with pytest.raises(ManifestError, match=r"bad\.geojson"):
        list(read_features(tmp_path / "bad.geojson").items)


def test_a_shapefile_is_reprojected_from_the_system_of_its_prj_file(tmp_path: Path) -> None:
    with shapefile.Writer(str(tmp_path / "event")) as writer:
        writer.field("kind", "C")
        writer.poly([[[500000, 0], [500000, 1000], [501000, 1000], [501000, 0], [500000, 0]]])
        writer.record("flood")
    (tmp_path / "event.prj").write_text(__import__("pyproj").CRS.from_epsg(32631).to_wkt())
    found = read_features(tmp_path / "event.shp")
    assert found.items[0].properties == {"kind": "flood"}
    west, south, _, _ = reproject(found, "EPSG:4326").items[0].geometry.bounds
    assert (round(west, 6), round(south, 6)) == (3.0, 0.0)


def test_features_without_a_coordinate_reference_system_are_rejected(tmp_path: Path) -> None:
    with shapefile.Writer(str(tmp_path / "event")) as writer:
        writer.field("kind", "C")
        writer.point(1, 2)
        writer.record("x")
    with pytest.raises(ManifestError, match="--features-crs"):
        reproject(read_features(tmp_path / "event.shp"), "EPSG:3857")


def test_a_file_is_read_again_only_after_a_change(tmp_path: Path) -> None:
    path = tmp_path / "all.geojson"
    path.write_text('{"type": "Point", "coordinates": [1, 2]}')
    first = read_features(path)
    assert read_features(path) is first
    path.write_text('{"type": "Point", "coordinates": [1, 2, 3]}')
    assert read_features(path) is not first


def test_a_polygon_with_a_nan_coordinate_is_lost(tmp_path: Path) -> None:
    ring = [[0, 0], [1, 0], [float("nan"), 1], [0, 0]]
    found = read_features(write(tmp_path / "a.geojson", {"type": "Polygon", "coordinates": [ring]}))
    assert (found.items, found.total, [loss.kind for loss in found.losses]) == ((), 1, ["lost"])
