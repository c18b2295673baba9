"""Situations that users reported of scenes and features, rebuilt small: each with the value that is right."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from PIL import Image
from rasterio.control import GroundControlPoint
from rasterio.crs import CRS
from rasterio.transform import Affine, from_origin

from gtseg.core.account import Account
from gtseg.errors import ManifestError
from gtseg.imports.features import read_features
from gtseg.imports.geo import GeoSettings, import_geo, pair_scenes, rules_by_attribute, single_class
from gtseg.imports.outcomes import Report

PLACE = from_origin(10, 50, 1e-4, 1e-4)


def scene(
    path: Path,
    bands: np.ndarray | None = None,
    *,
    crs: str | None = "EPSG:4326",
    transform: Any = PLACE,
    **more: Any,
) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    values = np.full((3, 128, 128), 90, np.uint8) if bands is None else bands
    count, height, width = values.shape
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        height=height,
        width=width,
        count=count,
        dtype=values.dtype,
        crs=crs,
        transform=transform,
        **more,
    ) as out:
        out.write(values)


def square(x: float, y: float, side: float = 0.002) -> dict[str, Any]:
    return {
        "type": "Polygon",
        "coordinates": [[[x, y], [x + side, y], [x + side, y + side], [x, y + side], [x, y]]],
    }


def features(path: Path, *geometries: Any, properties: list[dict] | None = None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    items = [
        {"type": "Feature", "geometry": g, "properties": properties[i] if properties else {}}
        for i, g in enumerate(geometries)
    ]
    path.write_text(json.dumps({"type": "FeatureCollection", "features": items}))


def bring_in(folder: Path, labels: str = "l.geojson", **settings: Any) -> tuple[Report, dict[str, np.ndarray]]:
    scenes, early = pair_scenes(folder / "s", folder / labels)
    given = {"classes": single_class("building"), "chip": 64, **settings}
    report = import_geo(scenes, folder / "out", GeoSettings(**given), name="geo", early=early, workers=1)
    return report, {p.stem: np.asarray(Image.open(p)) for p in (folder / "out" / "masks").glob("*.png")}


def reasons(account: Account) -> dict[str, tuple[int, str]]:
    return {loss.reason: (loss.count, loss.kind) for loss in account.losses}


HOUSE = square(10.002, 49.995)


def test_features_without_a_geometry_and_outside_are_counted(tmp_path: Path) -> None:
    scene(tmp_path / "s/a.tif")
    broken = {"type": "Polygon", "coordinates": "nowhere"}
    features(tmp_path / "l.geojson", HOUSE, None, broken, square(11, 49), square(10.00205, 49.99505, 1e-6))
    report, masks = bring_in(tmp_path)
    assert sum((mask == 1).sum() for mask in masks.values()) == 400
    flow = report.account.flow("feature")
    assert (flow.came, flow.went, report.account.exit_code) == (5, 1, 5)
    assert reasons(report.account) == {
        "no geometry, or one that is empty or broken": (2, "lost"),
        "outside every scene": (1, "outside"),
        "no pixel of its own: smaller than one, without data, under another class, or in a chip left out": (
            1,
            "lost",
        ),
    }


@pytest.mark.parametrize(
    ("crs", "transform", "geometry", "words"),
    [
        ("EPSG:4326", PLACE, square(49.995, 10.002), "With its axes exchanged it would lie on"),
        ("EPSG:3857", from_origin(100, 100, 1, 1), square(120, 50, 30), "--features-crs EPSG:3857"),
        ("EPSG:4326", PLACE, square(11, 49), "132 km apart"),
    ],
)
def test_features_that_touch_no_scene_are_an_error_with_both_extents(
    tmp_path: Path, crs: str, transform: Any, geometry: dict, words: str
) -> None:
    scene(tmp_path / "s/a.tif", crs=crs, transform=transform)
    features(tmp_path / "l.geojson", geometry)
    with pytest.raises(ManifestError, match=words) as caught:
        bring_in(tmp_path)
    assert str(caught.value).count("longitude") >= 2
    assert not (tmp_path / "out" / "import.json").exists()


def test_filters_that_match_nothing_say_which_features_exist(tmp_path: Path) -> None:
    scene(tmp_path / "s/a.tif")
    features(tmp_path / "l.geojson", HOUSE, properties=[{"kind": "barn"}])
    with pytest.raises(ManifestError, match=r"kind \(1, such as 'barn'\)"):
        bring_in(tmp_path, classes=({"name": "house", "filter": ["==", "kind", "house"]},))


def test_not_a_number_is_no_data(tmp_path: Path) -> None:
    bands = np.random.default_rng(0).random((1, 128, 128)).astype(np.float32)
    bands[:, :80] = np.nan
    scene(tmp_path / "s/a.tif", bands)
    features(tmp_path / "l.geojson", HOUSE)
    report, masks = bring_in(tmp_path)
    assert set(masks) == {"a_64_0", "a_64_64"}
    assert (masks["a_64_0"][:16] == 2).all()
    assert reasons(report.account)["no data in the whole chip"] == (2, "note")


@pytest.mark.parametrize("settings", [{"decibels": True}, {"nodata": 0}])
def test_zeros_beside_a_swath_are_no_data_where_that_is_known(tmp_path: Path, settings: dict) -> None:
    bands = np.random.default_rng(0).integers(10, 3000, (1, 128, 128)).astype(np.uint16)
    bands[:, :, :40] = 0
    scene(tmp_path / "s/a.tif", bands)
    features(tmp_path / "l.geojson", square(10.006, 49.995))
    _, masks = bring_in(tmp_path, **settings)
    assert all((masks[name][:, :40] == 2).all() for name in ("a_0_0", "a_64_0"))


def test_zeros_that_nobody_explains_are_said(tmp_path: Path) -> None:
    bands = np.full((3, 128, 128), 90, np.uint8)
    bands[:, :, :40] = 0
    scene(tmp_path / "s/a.tif", bands)
    features(tmp_path / "l.geojson", HOUSE)
    assert any("--nodata 0" in reason for reason in reasons(bring_in(tmp_path)[0].account))


def test_a_fourth_band_that_is_tagged_alpha_but_is_a_band_hides_nothing(tmp_path: Path) -> None:
    bands = np.random.default_rng(0).integers(1, 254, (4, 128, 128), dtype=np.uint8)
    bands[3, :20] = 0
    scene(tmp_path / "s/a.tif", bands, photometric="RGB", alpha="YES")
    features(tmp_path / "l.geojson", HOUSE)
    assert "void" not in bring_in(tmp_path)[0].pixels
    bands[3] = 255
    bands[3, :20] = 0
    scene(tmp_path / "t/s/a.tif", bands, photometric="RGB", alpha="YES")
    features(tmp_path / "t/l.geojson", HOUSE)
    assert bring_in(tmp_path / "t")[0].pixels["void"] == 20 * 128


@pytest.mark.parametrize(
    ("crs", "transform"),
    [
        ("EPSG:4326", from_origin(179.995, 50, 1e-4, 1e-4)),
        ("EPSG:32660", from_origin(714_000, 5_542_000, 50, 50)),
    ],
)
def test_scenes_over_the_antimeridian_show_what_lies_beyond_it(tmp_path: Path, crs: str, transform: Any) -> None:
    scene(tmp_path / "s/a.tif", crs=crs, transform=transform)
    features(tmp_path / "l.geojson", square(-179.998, 49.96 if crs == "EPSG:32660" else 49.995))
    report, _ = bring_in(tmp_path)
    assert report.account.flow("feature").went == 1
    assert report.pixels["building"] > 10


def with_points(path: Path, bend: float) -> None:
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
def test_ground_control_points_place_a_scene(tmp_path: Path) -> None:
    with_points(tmp_path / "s/straight.tif", 0)
    features(tmp_path / "l.geojson", HOUSE)
    report, masks = bring_in(tmp_path)
    assert (report.images, sum((mask == 1).sum() for mask in masks.values())) == (4, 400)
    with_points(tmp_path / "t/s/bent.tif", 3e-7)
    features(tmp_path / "t/l.geojson", HOUSE)
    report, _ = bring_in(tmp_path / "t")
    assert report.account.flow("feature").went == 1
    assert report.pixels["void"] > 0  # the warped picture does not fill its box


def test_a_rotated_scene_shows_what_lies_on_it(tmp_path: Path) -> None:
    scene(tmp_path / "s/a.tif", transform=Affine(1e-4, 5e-5, 10, 5e-5, -1e-4, 50))
    features(tmp_path / "l.geojson", square(10.006, 49.995))
    assert bring_in(tmp_path)[0].pixels["building"] == 320  # 0.002 degrees square over 1.25e-8 a pixel


def test_files_of_features_pair_by_the_images_stem_and_no_mask_of_clouds_does(tmp_path: Path) -> None:
    for name in ("a", "b", "x/same", "y/same"):
        scene(tmp_path / f"s/{name}.tif")
    for name in ("a_Buildings", "a_UDM", "b", "c", "x/same", "y/same"):
        features(tmp_path / f"l/{name}.geojson", HOUSE)
    scenes, losses = pair_scenes(tmp_path / "s", tmp_path / "l")
    found = {s.name: s.features[0].relative_to(tmp_path / "l").as_posix() for s in scenes}
    assert found == {
        "a": "a_Buildings.geojson",
        "b": "b.geojson",
        "x-same": "x/same.geojson",
        "y-same": "y/same.geojson",
    }
    assert sorted((loss.kind, loss.reason) for loss in losses) == [
        ("note", "a description of a scene, no labels"),
        ("outside", "of no scene"),
    ]


def test_lines_without_a_buffer_are_said(tmp_path: Path) -> None:
    scene(tmp_path / "s/a.tif")
    features(tmp_path / "l.geojson", {"type": "LineString", "coordinates": [[10, 49.99], [10.01, 49.995]]})
    assert any("without a buffer" in reason for reason in reasons(bring_in(tmp_path)[0].account))


def test_numbers_as_attribute_values_are_classes(tmp_path: Path) -> None:
    scene(tmp_path / "s/a.tif")
    features(tmp_path / "l.geojson", HOUSE, square(10.006, 49.995), properties=[{"k": 1}, {"k": 2}])
    rules = rules_by_attribute(read_features(tmp_path / "l.geojson"), "k")
    report, _ = bring_in(tmp_path, classes=rules)
    assert (report.pixels["1"], report.pixels["2"]) == (400, 400)


def test_one_value_of_an_attribute_in_three_types_is_one_class_and_a_missing_one_is_lost(
    tmp_path: Path,
) -> None:
    scene(tmp_path / "s/a.tif")
    places = [square(10 + 0.0025 * i, 49.995, 0.001) for i in range(5)]
    features(
        tmp_path / "l.geojson",
        *places,
        properties=[{"k": 3}, {"k": "3"}, {"k": 3.0}, {"k": None}, {"k": [3]}],
    )
    rules = rules_by_attribute(read_features(tmp_path / "l.geojson"), "k")
    report, _ = bring_in(tmp_path, classes=rules, class_attribute="k")
    assert report.pixels["3"] == 300
    lost = {"no single value of the attribute 'k', which names the classes": (2, "lost")}
    assert lost.items() <= reasons(report.account).items()
    assert report.account.exit_code == 5
