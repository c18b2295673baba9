import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gtseg.errors import SettingsError
from gtseg.imports.chips import windows


@given(st.integers(1, 300), st.integers(1, 300), st.integers(16, 128), st.data())
def test_chips_cover_every_pixel_and_stay_inside(height: int, width: int, size: int, data: st.DataObject) -> None:
    seen = np.zeros((height, width), bool)
    for w in windows(height, width, size=size, overlap=data.draw(st.integers(0, size - 1))):
        assert w.row + w.height <= height
        assert w.column + w.width <= width
        assert (w.height, w.width) == (min(size, height), min(size, width))
        seen[w.row : w.row + w.height, w.column : w.column + w.width] = True
    assert seen.all()


@pytest.mark.parametrize(("size", "overlap"), [(8, 0), (64, 64), (64, -1)])
def test_impossible_sizes_are_refused(size: int, overlap: int) -> None:
    with pytest.raises(SettingsError):
        list(windows(100, 100, size=size, overlap=overlap))
