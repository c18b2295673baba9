"""AWS Price List API (pricing:GetProducts; it has endpoints in three regions only)."""

from __future__ import annotations

import json
from collections.abc import Iterable
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any

from gtseg.aws.failures import translate
from gtseg.errors import AWSError

if TYPE_CHECKING:
    from gtseg.aws.clients import Clients

COMPONENTS = {"train": "Training", "deploy": "Hosting", "batch": "BatchTransform"}


def instance_hours(clients: Clients, instance_types: Iterable[str], *, use: str) -> dict[str, Decimal]:
    """Return USD per hour of the instance types in the clients' region for `use` (train, deploy, batch).

    Types without a price are left out; {} if the price list cannot be read.
    """
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
    """Return {instance type: USD per hour} or {}.

    Filters: `aws pricing get-attribute-values --service-code AmazonSageMaker`, as public code uses them.
    """
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
    """Return the on-demand USD price of one product of the list, or None if it has none or cannot be parsed."""
    try:
        document = json.loads(product) if isinstance(product, str) else product
        terms = document["terms"]["OnDemand"].values()
        values = [d["pricePerUnit"]["USD"] for term in terms for d in term["priceDimensions"].values()]
        return max(price for value in values if (price := Decimal(value)) > 0)
    except (KeyError, TypeError, ValueError, AttributeError, InvalidOperation):
        return None
