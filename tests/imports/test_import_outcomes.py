import json

import pytest

from gtseg.core.account import Loss
from gtseg.imports.outcomes import DrawnFeatures, Labeled, Outcome, Skipped, as_json, from_json, losses_of


@pytest.mark.parametrize(
    "outcome",
    [
        Labeled("a", "a.jpg", 4, 3, {0: 10, 1: 2}, "group", {"tile": {"z": 1}}, {"mask": 1}),
        Skipped("a.jpg", "unreadable", "scene", "note"),
        DrawnFeatures("f.geojson", (1, 2), (1, 2, 3)),
        Loss("feature", "outside every scene", "feature 3", 2, "outside"),
    ],
)
def test_an_outcome_is_restored_from_json(outcome: Outcome) -> None:
    assert from_json(json.loads(json.dumps(as_json(outcome)))) == outcome


def test_reasons_that_differ_only_in_numbers_and_file_names_are_one_loss() -> None:
    skipped = [
        Skipped("a.jpg", "a.png: 3x4 pixels, its image has 5x6"),
        Skipped("b.jpg", "b.png: 30x40 pixels, its image has 50x60"),
        Skipped("c.jpg", "not a readable image"),
    ]
    assert [(loss.count, loss.example) for loss in losses_of(skipped)] == [(2, "a.jpg"), (1, "c.jpg")]
