from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from gtseg.core.cost import hosting_row, labeling_rows, storage_row, table_price, total, training_row


def test_300_images_by_three_workers_of_the_public_crowd_cost_780_dollars() -> None:
    """300 x (3 x 0.84 + 0.08) USD at the lowest tier."""
    assert total(labeling_rows(300, 3, price=Decimal("0.84")))[0] == Decimal("780.00")


def test_a_private_team_costs_only_the_fee() -> None:
    assert total(labeling_rows(300, 3, price=None))[0] == Decimal("24.00")


def test_an_unknown_price_is_reported_as_unknown() -> None:
    row = training_row("ml.p4d.24xlarge", 3600, table_price("ml.p4d.24xlarge", "us-east-1"))
    assert row.usd is None
    assert row.price.source == "unknown"
    assert total([row]) == (Decimal(0), 1)


def test_a_price_from_aws_overrides_the_table() -> None:
    price = table_price("ml.g4dn.xlarge", "eu-west-1", asked={"ml.g4dn.xlarge": Decimal("0.822")})
    assert price.usd == Decimal("0.822")
    assert "retrieved now" in price.source


def test_a_price_of_another_region_names_that_region() -> None:
    assert "us-east-1 on demand, used for eu-west-1" in table_price("ml.c5.xlarge", "eu-west-1").source


def test_an_endpoint_without_an_end_has_an_hourly_price_outside_the_total() -> None:
    row = hosting_row("ml.c5.xlarge", 2, table_price("ml.c5.xlarge", "us-east-1"), seconds=None)
    assert row.recurring
    assert row.usd == Decimal("0.408")
    assert total([row]) == (Decimal(0), 0)


@given(st.integers(0, 20_000), st.integers(1, 9))
def test_more_objects_never_cost_less(objects: int, workers: int) -> None:
    price = Decimal("0.84")
    assert total(labeling_rows(objects + 1, workers, price=price)) > total(labeling_rows(objects, workers, price=price))


def test_a_terabyte_costs_23_dollars_a_month() -> None:
    usd = storage_row(10**12).usd
    assert usd is not None
    assert round(usd * 730, 2) == Decimal("23.00")
