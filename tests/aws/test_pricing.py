import json
from decimal import Decimal
from typing import Any

import pytest
from botocore.stub import Stubber

from gtseg.aws.clients import Clients
from gtseg.aws.pricing import instance_hours, read_product

PRODUCT = {
    "product": {"attributes": {"instanceName": "ml.g4dn.xlarge", "component": "Training"}},
    "terms": {
        "OnDemand": {"A.B": {"priceDimensions": {"A.B.C": {"unit": "Hrs", "pricePerUnit": {"USD": "0.7360000000"}}}}}
    },
}


def test_the_on_demand_price_of_a_product_is_read() -> None:
    assert read_product(json.dumps(PRODUCT)) == Decimal("0.736")


@pytest.mark.parametrize(
    "product", ["", "[]", "{}", '{"terms": {"OnDemand": {}}}', '{"terms": {"OnDemand": {"a": 3}}}']
)
def test_a_product_of_another_form_has_no_price(product: str) -> None:
    assert read_product(product) is None


class Remote(Clients):
    """Clients that count as AWS's, with a price list whose responses follow the service model."""

    def __init__(self, stub: Any) -> None:
        super().__init__(region="eu-west-1")
        self.__dict__.update(is_aws=lambda service: True, session=stub)


class Session:
    def __init__(self, client: Any) -> None:
        self._client = client

    def client(self, name: str, **options: Any) -> Any:
        assert (name, options) == ("pricing", {"region_name": "us-east-1"})
        return self._client


@pytest.fixture
def pricing() -> Any:
    import boto3

    return boto3.client("pricing", region_name="us-east-1", aws_access_key_id="x", aws_secret_access_key="y")


def test_the_price_list_is_queried_by_region_and_use(pricing: Any) -> None:
    with Stubber(pricing) as stub:
        stub.add_response("get_products", {"PriceList": [json.dumps(PRODUCT)]})
        assert instance_hours(Remote(Session(pricing)), ["ml.g4dn.xlarge"], use="train") == {
            "ml.g4dn.xlarge": Decimal("0.736")
        }


def test_no_access_to_the_price_list_is_no_error(pricing: Any) -> None:
    with Stubber(pricing) as stub:
        stub.add_client_error("get_products", "AccessDeniedException")
        assert instance_hours(Remote(Session(pricing)), ["ml.g4dn.xlarge"], use="train") == {}
