"""Messages about automated labeling before it starts, and invalid settings."""

from __future__ import annotations

import pytest

from gtseg.core.labeling.automated import AutomatedPlan, describe_automated, find_automated_problems


@pytest.mark.parametrize(("objects", "validation"), [(1250, 250), (1301, 261), (4999, 1000), (5000, 500)])
def test_the_validation_set_is_a_fifth_of_small_and_a_tenth_of_large_datasets(objects: int, validation: int) -> None:
    assert AutomatedPlan.of(objects).validation == validation


@pytest.mark.parametrize(
    ("objects", "limits", "words"),
    [
        (1249, {}, "needs 1,250 objects"),
        (
            2000,
            {"max_labeled_objects": 400},
            "max_labeled_objects = 400 ends the job before a model is trained",
        ),
        (2000, {"max_labeled_percent": 20}, "max_labeled_percent = 20 ends"),
    ],
)
def test_impossible_settings_of_automated_labeling_are_named(objects: int, limits: dict[str, int], words: str) -> None:
    (problem,) = find_automated_problems(
        objects, **({"max_labeled_objects": None, "max_labeled_percent": None} | limits)
    )
    assert words in problem


def test_valid_settings_of_automated_labeling_have_no_problems() -> None:
    assert find_automated_problems(2000, max_labeled_objects=401, max_labeled_percent=21) == []


def test_the_message_before_automated_labeling_names_costs_and_training() -> None:
    on_aws, here = (describe_automated(1300, is_aws=is_aws) for is_aws in (True, False))
    assert "260 images" in on_aws
    assert "ml.p3.2xlarge" in on_aws
    assert "ml.p3.2xlarge" not in here
