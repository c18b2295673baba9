"""Estimates and totals of costs: rows of quantity x price, each price with its source and date.

Prices are estimates for planning. A row whose price is unknown says so, and so does the total. Sources: Ground Truth's
fee of 0.08 USD per object from AWS's object detection example; on-demand instance hours in us-east-1 as public code has
them (November 2026); storage at S3's standard price.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal

DATED = "2026-11-20"
HOME = "us-east-1"
HOURS_A_MONTH = Decimal(730)
LABELING_FEE = Decimal("0.08")
STORAGE_GB_MONTH = Decimal("0.023")
INSTANCE_HOURS = {
    "ml.c5.xlarge": Decimal("0.204"),
    "ml.m5.xlarge": Decimal("0.23"),
    "ml.g4dn.xlarge": Decimal("0.7364"),
    "ml.g5.xlarge": Decimal("1.408"),
    "ml.g5.2xlarge": Decimal("1.515"),
    "ml.p2.xlarge": Decimal("1.125"),
    "ml.p3.2xlarge": Decimal("3.825"),
}


BILLED_BY: Mapping[str, Literal["labeling", "sagemaker", "s3"]] = {
    "label": "labeling",
    "train": "sagemaker",
    "tune": "sagemaker",
    "deploy": "sagemaker",
    "batch": "sagemaker",
    "storage": "s3",
}
"""Service that bills a stage; a stage costs nothing if its endpoint is not AWS's."""


@dataclass(frozen=True)
class Price:
    """USD per unit; None if unknown. `source`: origin and date of the figure."""

    usd: Decimal | None
    source: str


UNKNOWN = Price(None, "unknown")


@dataclass(frozen=True)
class Row:
    """One row of a cost table. `recurring` rows cost USD per hour until the resource is deleted."""

    stage: str
    what: str
    quantity: Decimal
    unit: str
    price: Price
    recurring: bool = False

    @property
    def usd(self) -> Decimal | None:
        return None if self.price.usd is None else self.quantity * self.price.usd

    def as_json(self) -> dict[str, Any]:
        return {
            "stage": self.stage,
            "what": self.what,
            "quantity": float(self.quantity),
            "unit": self.unit,
            "usd_per_unit": None if self.price.usd is None else float(self.price.usd),
            "usd": None if self.usd is None else round(float(self.usd), 4),
            "source": self.price.source,
            "recurring": self.recurring,
        }


def total(rows: Sequence[Row]) -> tuple[Decimal, int]:
    """Return (USD of the rows with a known price, number of rows without); recurring rows are excluded."""
    once = [row for row in rows if not row.recurring]
    known = [row.usd for row in once if row.usd is not None]
    return sum(known, Decimal(0)), len(once) - len(known)


def table_price(instance_type: str, region: str, *, asked: Mapping[str, Decimal] | None = None) -> Price:
    """Return the price of an instance hour: from AWS's price list (`asked`), else from the dated table, else
    unknown.
    """
    if asked and instance_type in asked:
        return Price(asked[instance_type], f"AWS price list, {region}, retrieved now")
    if instance_type not in INSTANCE_HOURS:
        return UNKNOWN
    elsewhere = "" if region == HOME else f", used for {region}"
    return Price(INSTANCE_HOURS[instance_type], f"table of {DATED}, {HOME} on demand{elsewhere}")


def labeling_rows(
    objects: int,
    workers_per_object: int,
    *,
    price: Decimal | None,
    fee: bool = True,
    by_people: int | None = None,
    what: str = "workers",
) -> list[Row]:
    """Return the rows of a labeling job. `price`: USD per worker and object of the public crowd; None for other teams.

    `by_people`: number of objects that people label if a model labels the others; workers are paid for these only.
    """
    rows = []
    if fee:
        source = f"Ground Truth's fee, table of {DATED}; excludes volume discounts and free tier"
        rows.append(Row("label", "service fee", Decimal(objects), "objects", Price(LABELING_FEE, source)))
    tasks = Decimal((objects if by_people is None else by_people) * workers_per_object)
    if price is not None:
        rows.append(Row("label", what, tasks, "tasks", Price(price, "[labeling] price_per_task")))
    return rows


def automated_row(instance_type: str, price: Price) -> Row:
    """Return the row of automated labeling's training and inference: USD per hour, the duration is unknown in
    advance.
    """
    what = f"automated labeling's training and inference on {instance_type}, per hour"
    return Row("label", what, Decimal(1), "hours", price, recurring=True)


def training_row(instance_type: str, seconds: float, price: Price, *, stage: str = "train", what: str = "") -> Row:
    """Return the row for hours of one training instance."""
    return Row(stage, what or f"training on {instance_type}", Decimal(str(seconds)) / 3600, "hours", price)


def hosting_row(instance_type: str, count: int, price: Price, *, seconds: float | None) -> Row:
    """Return the row of an endpoint for a time, or (None) until it is deleted: then in USD per hour."""
    hours = Decimal(count) if seconds is None else Decimal(str(seconds)) / 3600 * count
    what = f"endpoint on {count} x {instance_type}"
    return Row("deploy", what, hours, "hours", price, recurring=seconds is None)


def transform_row(instance_type: str, count: int, price: Price, *, seconds: float, images: int | None = None) -> Row:
    """Return the row of a transform job's instance hours. `images`: an estimate for so many; None: the hours used."""
    what = f"batch transform on {count} x {instance_type}"
    if images is not None:
        what += f", {images:,} images"
    return Row("batch", what, Decimal(str(seconds)) / 3600, "hours", price)


def storage_row(size: int) -> Row:
    """Return the row of bytes in S3, as USD per hour of storage."""
    gigabytes = Decimal(size) / 10**9
    price = Price(
        STORAGE_GB_MONTH / HOURS_A_MONTH,
        f"S3 standard, table of {DATED}: {STORAGE_GB_MONTH} USD per GB and month",
    )
    return Row("storage", f"{gigabytes:.2f} GB in the bucket", gigabytes, "GB", price, recurring=True)
