"""Meaning of mask values: the crowd and the product use the same rule (gtseg.core.masks.class_values)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gtseg.core.masks.class_values import number_masks
from gtseg.errors import SettingsError
from gtseg.local.labeling.mask_values import ValueOptions, find_meaning, parse_values


def test_a_label_named_void_is_not_counted_and_takes_the_void_pixels() -> None:
    meaning = find_meaning({0, 1, 2, 255}, ("cat", "Void", "dog"), ValueOptions())
    assert (meaning.codes, meaning.labels, meaning.void) == ({0: 0, 1: 1, 2: 2, 255: 255}, (1, 3), 2)


def test_masks_with_labels_from_zero_are_refused_with_both_interpretations() -> None:
    labels = [f"c{n}" for n in range(11)]
    with pytest.raises(ValueError, match=r"--label-values 1-11.*--label-values 0-10"):
        find_meaning(range(11), labels, ValueOptions())
    assert find_meaning(range(11), labels, ValueOptions(parse_values("0-10"))).codes[0] == 1


@given(
    st.sets(st.sampled_from([0, 1, 2, 3, 4, 5, 255])),
    st.integers(1, 5),
    st.sampled_from([None, 0, 255]),
)
def test_crowd_and_product_interpret_values_alike(seen: set[int], count: int, void: int | None) -> None:
    labels = [f"c{n}" for n in range(count)]
    try:
        ours = number_masks(seen, labels, void=void).codes
    except SettingsError:
        return  # the product refuses; the crowd refuses too, or mask by mask
    theirs = find_meaning(seen, labels, ValueOptions(void=void)).codes
    assert {value: theirs[value] for value in seen} == {value: ours[value] for value in seen}
