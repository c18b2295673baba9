from __future__ import annotations

import pytest

from gtseg.core.masks.names import fold, group_alike, is_background


@pytest.mark.parametrize("name", ["BACKGROUND", "Background", "_background_", "__background__", " back ground ", "bg"])
def test_usual_names_of_the_background_are_recognized(name: str) -> None:
    assert is_background(name)


@pytest.mark.parametrize("name", ["backgrounds", "none", "ground", "unlabeled"])
def test_other_names_are_classes(name: str) -> None:
    assert not is_background(name)


def test_names_that_differ_in_case_spaces_or_unicode_form_are_similar() -> None:
    names = [
        "Cat",
        "dog",
        "cat",
        "traffic  light",
        "Traffic light",
        "caf\N{LATIN SMALL LETTER E WITH ACUTE}",
        "cafe\N{COMBINING ACUTE ACCENT}",
    ]
    assert group_alike(names) == [("Cat", "cat"), ("traffic  light", "Traffic light"), tuple(names[-2:])]
    assert group_alike(["cat", "cats", "cat 1"]) == []
    assert fold("STRASSE") == fold("Straße")
