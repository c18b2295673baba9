"""Meaning of the values of index masks."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gtseg.core.masks.class_values import number_masks, parse_values
from gtseg.errors import SettingsError

ELEVEN = [f"c{n}" for n in range(11)]


def test_value_i_is_the_ith_label_and_zero_is_the_background() -> None:
    numbering = number_masks({0, 1, 2, 255}, ["cat", "dog"])
    assert numbering.names == ("BACKGROUND", "cat", "dog")
    assert numbering.codes == {0: 0, 1: 1, 2: 2, 255: 255}
    assert number_masks({0, 1, 2}, ["_background_", "cat", "dog"]) == number_masks({0, 1, 2}, ["cat", "dog"])


def test_without_labels_classes_are_numbered() -> None:
    assert number_masks({0, 3}).names == ("BACKGROUND", "class-1", "class-2", "class-3")
    assert number_masks({0}).names == ("BACKGROUND", "class-1")


def test_values_zero_and_255_are_background_and_one_class_with_a_message() -> None:
    numbering = number_masks({0, 255}, ["leaf"])
    assert (numbering.names, numbering.codes) == (("BACKGROUND", "leaf"), {0: 0, 255: 1})
    assert "--void 255" in numbering.notes[0]
    assert number_masks({0, 255}, ["leaf"], void=255).codes == {0: 0, 255: 255}
    with pytest.raises(SettingsError, match="names 2: leaf, stem"):
        number_masks({0, 255}, ["leaf", "stem"])


def test_masks_with_background_only_are_accepted() -> None:
    assert number_masks({0}, ["cat", "dog"]).codes == {0: 0}
    assert number_masks({0, 255}, ["cat"], void=255).codes == {0: 0, 255: 255}


@pytest.mark.parametrize(
    ("found", "labels", "flags"),
    [
        (range(11), ELEVEN, ["--label-values 1-11", "--label-values 0-10"]),
        ({0, 1}, ["soil", "leaf"], ["--label-values 1-2", "--label-values 0-1"]),
        ({0, 1, 3}, ["cat", "dog"], ["must name all 3", "--label-values 1,3"]),
        ({1, 3}, ["cat", "dog"], ["must name all 3", "--label-values 1,3"]),
        ({0, 1, 2}, ["cat"], ["must name all 2", "--label-values V1"]),
    ],
)
def test_values_that_do_not_fit_are_refused_with_each_reading_and_its_option(found, labels, flags) -> None:
    with pytest.raises(SettingsError) as refused:
        number_masks(set(found), labels)
    assert all(flag in str(refused.value) for flag in flags)


def test_the_option_of_each_reading_selects_it() -> None:
    found = set(range(11))
    assert number_masks(found, ELEVEN, values=parse_values("0-10")).codes == {v: v + 1 for v in found}
    assert number_masks(found, ELEVEN, values=parse_values("1-11")).codes == {v: v for v in found}
    assert number_masks({0, 1, 3}, ["cat", "dog"], values=(1, 3)).codes == {0: 0, 1: 1, 3: 2}
    with pytest.raises(SettingsError, match="hold 3, which"):
        number_masks({0, 1, 3}, ["cat", "dog"], values=(1, 2))


def test_labels_that_include_the_background_need_no_option() -> None:
    assert number_masks({0, 1}, ["background", "leaf"]).names == ("BACKGROUND", "leaf")


@pytest.mark.parametrize("text", ["", "a", "5-3", "1,1", "0-256", "1-", "-1"])
def test_values_that_cannot_be_read_are_refused(text: str) -> None:
    with pytest.raises(SettingsError, match="--label-values"):
        parse_values(text)


@given(st.sets(st.integers(0, 255), max_size=12), st.integers(0, 8), st.none() | st.integers(0, 255))
def test_every_value_has_a_meaning_or_the_set_is_refused(found: set[int], count: int, void: int | None) -> None:
    labels = [f"label {number}" for number in range(count)]
    try:
        numbering = number_masks(found, labels, void=void)
    except SettingsError:
        return
    assert all(numbering.codes[value] == 255 or numbering.codes[value] < len(numbering.names) for value in found)
    if void in found:
        assert numbering.codes[void] == 255
    mask = np.array([sorted(found)], np.uint8)
    assert numbering.apply(mask).tolist() == [[numbering.codes[value] for value in sorted(found)]]
