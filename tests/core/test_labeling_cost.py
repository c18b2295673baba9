from __future__ import annotations

from decimal import Decimal

from gtseg.core.labeling.labeling_cost import labeling_cost


def test_three_hundred_turtles_at_the_lowest_tier_cost_780_dollars() -> None:
    cost = labeling_cost(300, 3, price=Decimal("0.84"))
    assert cost.total == 780
    assert cost.sentence() == "300 objects x (3 workers x 0.84 + 0.08) USD = 780.00 USD"


def test_a_private_team_is_not_on_awss_bill() -> None:
    cost = labeling_cost(300, 2, price=None)
    assert cost.total == 24
    assert "600 tasks" in cost.sentence()
