from pathlib import Path
from typing import Any

import pytest
from geo_files import DEGREES, HOUSE, import_folder, reasons, square, write_features, write_scene
from rasterio.transform import from_origin

from gtseg.errors import ManifestError


def test_features_without_geometry_outside_the_scene_or_without_a_pixel_are_counted(tmp_path: Path) -> None:
    write_scene(tmp_path / "scenes/a.tif")
    broken = {"type": "Polygon", "coordinates": "nowhere"}
    tiny = square(10.00205, 49.99505, 1e-6)
    write_features(tmp_path / "labels.geojson", HOUSE, None, broken, square(11, 49), tiny)
    report, masks = import_folder(tmp_path)
    assert sum((mask == 1).sum() for mask in masks.values()) == 400
    flow = report.account.flow("feature")
    assert (flow.inputs, flow.outputs, report.account.exit_code) == (5, 1, 5)
    assert reasons(report.account) == {
        "missing, empty or invalid geometry": (2, "lost"),
        "outside every scene": (1, "outside"),
        "no pixel in a mask: smaller than a pixel, without data, below another class, or in a chip that was skipped": (
            1,
            "lost",
        ),
    }


@pytest.mark.parametrize(
    ("crs", "transform", "geometry", "message"),
    [
        ("EPSG:4326", DEGREES, square(49.995, 10.002), "With swapped axes it would overlap"),
        ("EPSG:3857", from_origin(100, 100, 1, 1), square(120, 50, 30), "--features-crs EPSG:3857"),
        ("EPSG:4326", DEGREES, square(11, 49), "132 km apart"),
    ],
)
def test_features_that_overlap_no_scene_are_an_error_with_both_extents(
    tmp_path: Path, crs: str, transform: Any, geometry: dict, message: str
) -> None:
    write_scene(tmp_path / "scenes/a.tif", crs=crs, transform=transform)
    write_features(tmp_path / "labels.geojson", geometry)
    with pytest.raises(ManifestError, match=message) as caught:
        import_folder(tmp_path)
    assert str(caught.value).count("longitude") >= 2
    assert not (tmp_path / "out" / "import.json").exists()


def test_filters_that_match_no_feature_are_an_error_with_the_properties_of_the_features(tmp_path: Path) -> None:
    write_scene(tmp_path / "scenes/a.tif")
    write_features(tmp_path / "labels.geojson", HOUSE, properties=[{"kind": "barn"}])
    with pytest.raises(ManifestError, match=r"kind \(1, such as 'barn'\)"):
        import_folder(tmp_path, classes=({"name": "house", "filter": ["==", "kind", "house"]},))
