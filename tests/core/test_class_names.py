import pytest

from gtseg.core.labeling.class_names import LookalikeNames, arrange_names
from gtseg.errors import SettingsError


def test_background_and_void_keep_their_indices_with_any_usual_name() -> None:
    names = arrange_names(["_background_", "leaf", "Background", "void", "stem"])
    assert names.classes == ("leaf", "stem")
    assert names.index == {"_background_": 0, "leaf": 1, "Background": 0, "void": 255, "stem": 2}


def test_equal_names_are_one_class_and_similar_ones_need_a_decision() -> None:
    assert arrange_names(["cat", "cat"]).index == {"cat": 1}
    with pytest.raises(LookalikeNames, match="--merge-labels") as caught:
        arrange_names(["Car", "car ", "dog"])
    assert caught.value.groups == (("Car", "car "),)
    assert arrange_names(["Car", "car ", "dog"], merge=True).index == {"Car": 1, "car ": 1, "dog": 2}
    assert arrange_names(["Car", "car ", "dog"], merge=False).classes == ("Car", "car ", "dog")


def test_empty_names_and_too_many_classes_are_refused() -> None:
    with pytest.raises(SettingsError, match="empty name"):
        arrange_names(["a", " "])
    with pytest.raises(SettingsError, match="254 classes"):
        arrange_names([f"c{i}" for i in range(254)])
