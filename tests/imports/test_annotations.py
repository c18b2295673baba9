import pytest

from gtseg.errors import MaskError
from gtseg.imports.annotations import parse_ring

TRIANGLE = ((0.0, 0.0), (2.0, 0.0), (2.0, 1.0))


@pytest.mark.parametrize("numbers", [[0, 0, 2, 0, 2, 1], [[0, 0], [2, 0], [2, 1]], ["0", "0", "2", "0", "2", "1"]])
def test_a_ring_is_parsed_from_flat_numbers_and_from_pairs(numbers: list) -> None:
    assert parse_ring(numbers) == TRIANGLE


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ([1, 2, 3, 4], "fewer than three points"),
        ([0, 0, 1, 1, 0, 0, 1, 1], "fewer than three points"),
        ([0, 0, 2, 0, 2], "odd number"),
        ([0, 0, 2, 0, "x", 1], "invalid number"),
        ([0, 0, 2, 0, float("nan"), 1], "invalid number"),
        ([0, 0, 2, 0, 1e300, 1], "invalid number"),
        ([0, 0, 2, 0, 10**400, 1], "invalid number"),
    ],
)
def test_an_invalid_ring_is_rejected(numbers: list, message: str) -> None:
    with pytest.raises(MaskError, match=message):
        parse_ring(numbers)
