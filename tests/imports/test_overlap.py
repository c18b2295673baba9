import pytest

from gtseg.imports.overlap import Extent, distance, explain_no_overlap, to_degrees

SCENE = Extent("scene.tif", (10.0, 49.0, 11.0, 50.0), (10.0, 49.0, 11.0, 50.0), "EPSG:4326")


def features(own: tuple[float, float, float, float], crs: str = "EPSG:4326") -> Extent:
    return Extent("f.geojson", to_degrees(own, crs), own, crs)


def test_swapped_axes_are_suggested_if_they_would_overlap() -> None:
    assert "With swapped axes" in explain_no_overlap([features((49.2, 10.2, 49.3, 10.3))], [SCENE])


def test_a_coordinate_reference_system_is_suggested_if_it_would_overlap() -> None:
    mercator = (1_120_000.0, 6_300_000.0, 1_121_000.0, 6_301_000.0)
    assert "use --features-crs EPSG:3857" in explain_no_overlap([features(mercator)], [SCENE])


def test_the_distance_is_given_without_a_suggestion() -> None:
    text = explain_no_overlap([features((20.0, 49.0, 21.0, 50.0))], [SCENE])
    assert "km apart" in text
    assert text.endswith("(--features-crs)")


def test_a_box_outside_the_earth_has_no_degrees() -> None:
    assert to_degrees((0.0, 0.0, 1.0, 100.0), "EPSG:4326") is None


def test_the_distance_of_two_boxes_is_geodesic() -> None:
    degree = distance((0.0, 0.0, 0.0, 0.0), (1.0, 0.0, 1.0, 0.0))
    assert degree == pytest.approx(111_319.5, abs=0.1)
