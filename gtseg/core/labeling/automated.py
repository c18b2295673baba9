"""Checks and description of an automated labeling job before it starts.

Source: developer guide, "Automate data labeling" (sms-automated-labeling), and its prices.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from gtseg.core.plurals import counted

AUTOMATED_OBJECTS = 1250
"""Minimum number of objects for automated labeling."""
ADVISED_OBJECTS = 5000
"""Number of objects that AWS recommends."""
LARGE = 5000
"""Number of objects from which the validation set is 10 % instead of 20 %."""
INSTANCE = "ml.p3.2xlarge"
"""Instance type on which AWS trains and applies its models, and bills."""
TARGET = 0.7
"""Mean IoU without background that automatic labels are expected to have."""


@dataclass(frozen=True)
class AutomatedPlan:
    """Split of `objects`: people label `validation` of them, on which no model is trained."""

    objects: int
    validation: int

    @classmethod
    def of(cls, objects: int) -> AutomatedPlan:
        return cls(objects, math.ceil(objects * (0.2 if objects < LARGE else 0.1)))


def describe_automated(objects: int, *, is_aws: bool) -> str:
    """Return a sentence that describes the job: who labels what, and what it costs."""
    plan = AutomatedPlan.of(objects)
    where = (
        f"AWS bills its fee for automatic labels too, and {INSTANCE} for training and inference, for a duration that "
        "is not known in advance"
        if is_aws
        else "this labeling server trains the models itself, which takes one or two minutes of one processor per round"
    )
    return (
        f"automated labeling: people label a validation set of {counted(plan.validation, 'image')} and a first "
        f"training set; then a model labels the images of which it is certain, at an expected mean IoU of {TARGET} or "
        "more, and people label those of which it is least certain, until all are labeled. "
        f"{where[0].upper()}{where[1:]}"
    )


def find_automated_problems(
    objects: int, *, max_labeled_objects: int | None, max_labeled_percent: int | None
) -> list[str]:
    """Return the reasons why automated labeling of so many objects is impossible."""
    plan, found = AutomatedPlan.of(objects), []
    if objects < AUTOMATED_OBJECTS:
        found.append(
            f"automated labeling needs {AUTOMATED_OBJECTS:,} objects (better {ADVISED_OBJECTS:,}); there are "
            f"{objects:,}"
        )
    most = objects if max_labeled_percent is None else max(1, objects * max_labeled_percent // 100)
    for name, limit in (("max_labeled_objects", max_labeled_objects), ("max_labeled_percent", most)):
        if limit is not None and limit <= plan.validation:
            said = f"{max_labeled_percent}" if name == "max_labeled_percent" else f"{limit:,}"
            found.append(
                f"{name} = {said} ends the job before a model is trained: people first label a validation set of "
                f"{plan.validation:,} of {objects:,} objects"
            )
    return found
