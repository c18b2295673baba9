from pathlib import Path

import pytest
from geo_files import DATA, HOUSE, import_folder, reasons, square, write_features, write_scene
from shapely.geometry import box

from gtseg.errors import SettingsError
from gtseg.imports.class_rules import classify, read_rules, rules_by_attribute
from gtseg.imports.features import Feature, read_features


@pytest.mark.parametrize("classes", [[{"filter": None}], [{"name": "a", "color": 1}], [{"name": "a"}, {"name": "a"}]])
def test_rules_without_a_name_with_unknown_keys_or_repeated_names_are_rejected(classes: list) -> None:
    with pytest.raises(SettingsError):
        read_rules(classes)


def test_a_geometry_that_its_negative_buffer_empties_is_dropped() -> None:
    rules = read_rules([{"name": "a", "buffer": -5}])
    assert classify([Feature(box(0, 0, 1, 1), {})], rules) == []


def test_lines_without_a_buffer_are_noted(tmp_path: Path) -> None:
    write_scene(tmp_path / "scenes/a.tif")
    write_features(tmp_path / "labels.geojson", {"type": "LineString", "coordinates": [[10, 49.99], [10.01, 49.995]]})
    assert any("without a buffer" in reason for reason in reasons(import_folder(tmp_path)[0].account))


def test_an_attribute_that_no_feature_has_is_an_error() -> None:
    features = read_features(DATA / "features" / "geoms_733826_3725049.geojson")
    with pytest.raises(SettingsError, match="no feature has the attribute 'damage'"):
        rules_by_attribute(features, "damage")


def test_numbers_as_attribute_values_become_classes(tmp_path: Path) -> None:
    write_scene(tmp_path / "scenes/a.tif")
    path = write_features(tmp_path / "labels.geojson", HOUSE, square(10.006, 49.995), properties=[{"k": 1}, {"k": 2}])
    report, _ = import_folder(tmp_path, classes=rules_by_attribute(read_features(path), "k"))
    assert (report.pixels["1"], report.pixels["2"]) == (400, 400)


def test_equal_values_of_different_types_are_one_class_and_missing_values_are_lost(tmp_path: Path) -> None:
    write_scene(tmp_path / "scenes/a.tif")
    path = write_features(
        tmp_path / "labels.geojson",
        *(square(10 + 0.0025 * i, 49.995, 0.001) for i in range(5)),
        properties=[{"k": 3}, {"k": "3"}, {"k": 3.0}, {"k": None}, {"k": [3]}],
    )
    rules = rules_by_attribute(read_features(path), "k")
    report, _ = import_folder(tmp_path, classes=rules, class_attribute="k")
    assert report.pixels["3"] == 300
    lost = {"no single value of the attribute 'k', which names the classes": (2, "lost")}
    assert lost.items() <= reasons(report.account).items()
    assert report.account.exit_code == 5
