import pytest
from rasterio.transform import from_origin
from shapely.geometry import LineString, box

from gtseg.errors import SettingsError
from gtseg.imports.features import Feature
from gtseg.imports.rasterization import burn, classify, read_rules

TRANSFORM = from_origin(0, 10, 1, 1)


def test_a_later_class_lies_on_top_and_a_buffer_widens_a_line() -> None:
    rules = read_rules(
        [
            {"name": "house", "filter": ["has", "building"]},
            {"name": "road", "filter": ["has", "highway"], "buffer": 1},
        ]
    )
    features = [
        Feature(LineString([(0, 5), (10, 5)]), {"highway": "x"}),
        Feature(box(2, 2, 8, 8), {"building": "y"}),
    ]
    mask = burn(classify(features, rules), (10, 10), transform=TRANSFORM)
    assert (mask[4:6] == 2).all()
    assert mask[3, 3] == 1
    assert mask[0, 0] == 0


def test_nothing_to_burn_is_background() -> None:
    assert burn([], (2, 3), transform=TRANSFORM).tolist() == [[0, 0, 0], [0, 0, 0]]


def test_all_touched_takes_every_pixel_that_is_grazed() -> None:
    shapes = [(box(1.6, 1.6, 2.4, 2.4), 1)]
    assert burn(shapes, (10, 10), transform=TRANSFORM).sum() == 0
    assert burn(shapes, (10, 10), transform=TRANSFORM, all_touched=True).sum() == 4


@pytest.mark.parametrize("classes", [[{"filter": None}], [{"name": "a", "colour": 1}], [{"name": "a"}, {"name": "a"}]])
def test_rules_that_cannot_be_meant_are_refused(classes: list) -> None:
    with pytest.raises(SettingsError):
        read_rules(classes)


def test_an_empty_buffered_shape_is_left_out() -> None:
    rules = read_rules([{"name": "a", "buffer": -5}])
    assert classify([Feature(box(0, 0, 1, 1), {})], rules) == []
