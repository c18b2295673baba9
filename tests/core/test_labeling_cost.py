from __future__ import annotations

from decimal import Decimal

from gtseg.core.labeling.labeling_cost import labeling_cost


def test_300_images_by_three_workers_at_the_lowest_tier_cost_780_dollars() -> None:
    cost = labeling_cost(300, 3, price=Decimal("0.84"))
    assert cost.total == 780
    assert cost.sentence() == "300 objects x (3 workers x 0.84 + 0.08) USD = 780.00 USD"


def test_a_private_teams_work_is_not_billed_by_aws() -> None:
    cost = labeling_cost(300, 2, price=None)
    assert cost.total == 24
    assert "600 tasks" in cost.sentence()


def test_the_cost_of_automated_labeling_is_a_range_because_a_models_labels_cost_the_fee() -> None:
    cost = labeling_cost(1300, 1, price=Decimal("0.84"), fewest=260)
    assert cost.total == 1196
    assert cost.sentence() == (
        "1,300 objects x 0.08 USD service fee, and 1 worker x 0.84 USD for each of the 260 to 1,300 that "
        "people label = "
        "322.40 to 1,196.00 USD"
    )
