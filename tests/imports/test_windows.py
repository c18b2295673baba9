import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gtseg.errors import SettingsError
from gtseg.imports.windows import windows


@given(st.integers(1, 300), st.integers(1, 300), st.integers(16, 128), st.data())
def test_windows_cover_every_pixel_and_stay_inside_the_scene(
    height: int, width: int, size: int, data: st.DataObject
) -> None:
    covered = np.zeros((height, width), bool)
    for w in windows(height, width, size=size, overlap=data.draw(st.integers(0, size - 1))):
        assert w.row + w.height <= height
        assert w.column + w.width <= width
        assert (w.height, w.width) == (min(size, height), min(size, width))
        covered[w.row : w.row + w.height, w.column : w.column + w.width] = True
    assert covered.all()


@pytest.mark.parametrize(("size", "overlap"), [(8, 0), (64, 64), (64, -1)])
def test_invalid_sizes_and_overlaps_are_rejected(size: int, overlap: int) -> None:
    with pytest.raises(SettingsError):
        list(windows(100, 100, size=size, overlap=overlap))
