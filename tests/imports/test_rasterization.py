import numpy as np
from rasterio.transform import from_origin
from shapely.geometry import LineString, box

from gtseg.imports.class_rules import classify, read_rules
from gtseg.imports.features import Feature
from gtseg.imports.rasterization import Burnable, burn, burn_numbered

TRANSFORM = from_origin(0, 10, 1, 1)


def test_later_classes_cover_earlier_ones_and_a_buffer_widens_a_line() -> None:
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


def test_a_mask_without_shapes_is_background() -> None:
    assert burn([], (2, 3), transform=TRANSFORM).tolist() == [[0, 0, 0], [0, 0, 0]]


def test_all_touched_burns_every_pixel_that_a_shape_touches() -> None:
    shapes = [(box(1.6, 1.6, 2.4, 2.4), 1)]
    assert burn(shapes, (10, 10), transform=TRANSFORM).sum() == 0
    assert burn(shapes, (10, 10), transform=TRANSFORM, all_touched=True).sum() == 4


def test_a_feature_below_its_own_class_is_visible_and_one_below_another_class_is_not() -> None:
    large, small = box(0, 0, 4, 4), box(1, 1, 2, 2)
    shapes = [Burnable(small, 1, 1), Burnable(small, 2, 2), Burnable(large, 1, 3)]
    burned = burn_numbered(shapes, (10, 10), transform=TRANSFORM)
    assert burned.numbers == (1, 3)
    assert set(np.unique(burned.mask)) == {0, 1}


def test_pixels_without_data_are_void_and_show_no_feature() -> None:
    valid = np.ones((10, 10), bool)
    valid[:, :5] = False
    burned = burn_numbered([Burnable(box(0, 0, 4, 4), 1, 7)], (10, 10), transform=TRANSFORM, valid=valid)
    assert burned.numbers == ()
    assert (burned.mask[:, :5] == 255).all()
