"""AWS's price list, where it can be asked (pricing:GetProducts; its endpoints are in three regions only)."""

from __future__ import annotations

import json
from collections.abc import Iterable
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any

from gtseg.aws.clients import translate
from gtseg.errors import AWSError

if TYPE_CHECKING:
    from gtseg.aws.clients import Clients

__all__ = ["instance_hours", "read_product"]

COMPONENTS = {"train": "Training", "deploy": "Hosting", "batch": "BatchTransform"}


def instance_hours(clients: Clients, instance_types: Iterable[str], *, use: str) -> dict[str, Decimal]:
    """USD an hour of the instance types in the clients' region for `use` (train, deploy, batch); {} where nobody answers."""
    if not clients.is_aws("sagemaker"):
        return {}
    found: dict[str, Decimal] = {}
    try:
        for instance_type in set(instance_types):
            found |= _ask(clients, instance_type, COMPONENTS[use])
    except AWSError:
        return found
    return found


def _ask(clients: Clients, instance_type: str, component: str) -> dict[str, Decimal]:
    """Source: `aws pricing get-attribute-values --service-code AmazonSageMaker`, as public code uses it."""
    wanted = {
        "productFamily": "ML Instance",
        "regionCode": clients.region,
        "instanceName": instance_type,
        "component": component,
    }
    filters = [{"Type": "TERM_MATCH", "Field": name, "Value": value} for name, value in wanted.items()]
    client = clients.session.client("pricing", region_name="us-east-1")
    with translate("GetProducts"):
        answer = client.get_products(ServiceCode="AmazonSageMaker", Filters=filters, MaxResults=10)
    prices = [price for text in answer.get("PriceList", ()) if (price := read_product(text)) is not None]
    return {instance_type: min(prices)} if prices else {}


def read_product(product: str | dict[str, Any]) -> Decimal | None:
    """The on-demand USD price in one product of the list; None where it has none or is not understood."""
    try:
        document = json.loads(product) if isinstance(product, str) else product
        terms = document["terms"]["OnDemand"].values()
        values = [d["pricePerUnit"]["USD"] for term in terms for d in term["priceDimensions"].values()]
        return max(price for value in values if (price := Decimal(value)) > 0)
    except (KeyError, TypeError, ValueError, AttributeError, InvalidOperation):
        return None
