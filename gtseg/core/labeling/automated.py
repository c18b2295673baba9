"""Automated data labeling before it starts: what will happen, what it needs, and which settings cannot be.

Source: developer guide, "Automate data labeling" (sms-automated-labeling), and its prices.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from gtseg.core.plurals import counted

AUTOMATED_OBJECTS = 1250
"""Fewer objects cannot start automated labeling."""
ADVISED_OBJECTS = 5000
"""AWS advises so many."""
LARGE = 5000
"""Objects from which on the validation set is 10 %, not 20 %."""
INSTANCE = "ml.p3.2xlarge"
"""What AWS trains and applies its models on, and bills."""
TARGET = 0.7
"""Mean IoU without background that automatic labels are expected to have."""


@dataclass(frozen=True)
class AutomatedPlan:
    """`validation` objects that people label and no model is trained on, of `objects`."""

    objects: int
    validation: int

    @classmethod
    def of(cls, objects: int) -> AutomatedPlan:
        return cls(objects, math.ceil(objects * (0.2 if objects < LARGE else 0.1)))


def describe_automated(objects: int, *, is_aws: bool) -> str:
    """What the job will do, who labels what, and what it takes."""
    plan = AutomatedPlan.of(objects)
    where = (
        f"AWS bills its fee for automatic labels too, and {INSTANCE} for training and inference, for a time that nobody knows "
        "in advance"
        if is_aws
        else "this labeling server trains the models itself, a minute or two of one processor for each round"
    )
    return (
        f"automated labeling: people label a validation set of {counted(plan.validation, 'image')} and a first training set; then "
        f"a model labels what it is sure of, at an expected mean IoU of {TARGET} or more, people the images that it is least sure "
        f"of, again until all are labeled. {where[0].upper()}{where[1:]}"
    )


def find_automated_problems(
    objects: int, *, max_labeled_objects: int | None, max_labeled_percent: int | None
) -> list[str]:
    """Why automated labeling of so many objects cannot be."""
    plan, found = AutomatedPlan.of(objects), []
    if objects < AUTOMATED_OBJECTS:
        found.append(
            f"automated labeling needs {AUTOMATED_OBJECTS:,} objects (better {ADVISED_OBJECTS:,}); there are {objects:,}"
        )
    most = objects if max_labeled_percent is None else max(1, objects * max_labeled_percent // 100)
    for name, limit in (("max_labeled_objects", max_labeled_objects), ("max_labeled_percent", most)):
        if limit is not None and limit <= plan.validation:
            said = f"{max_labeled_percent}" if name == "max_labeled_percent" else f"{limit:,}"
            found.append(
                f"{name} = {said} ends the job before a model is trained: people label a validation set of "
                f"{plan.validation:,} of {objects:,} objects first"
            )
    return found
