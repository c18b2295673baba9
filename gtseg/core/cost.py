"""What a step will cost and what it has cost: rows of quantity x price, each price with its source and date.

Prices are estimates for planning. Where none is known the row says so, and the total says that it is not whole.
Sources: Ground Truth's fee of 0.08 USD an object from AWS's own object detection example; instance hours on demand
in us-east-1 as public code has them (November 2026); storage from S3's standard price.
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
"""The service that bills a stage: nothing is billed where its endpoint is not AWS's."""


@dataclass(frozen=True)
class Price:
    """USD a unit; None where it is not known. `source` says where the figure is from and of when."""

    usd: Decimal | None
    source: str


UNKNOWN = Price(None, "unknown")


@dataclass(frozen=True)
class Row:
    """One line of a table of costs. `recurring` rows go on costing until something is deleted: USD per hour."""

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
    """(USD of the rows whose price is known, how many rows have none); recurring rows are not in it."""
    once = [row for row in rows if not row.recurring]
    known = [row.usd for row in once if row.usd is not None]
    return sum(known, Decimal(0)), len(once) - len(known)


def table_price(instance_type: str, region: str, *, asked: Mapping[str, Decimal] | None = None) -> Price:
    """An instance hour: what AWS's price list said just now (`asked`), else the dated table, else unknown."""
    if asked and instance_type in asked:
        return Price(asked[instance_type], f"AWS price list, {region}, asked now")
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
    """`price` is the public crowd's, USD per worker and object; a private team's pay is its own affair.

    `by_people`: how many of the objects people label, where a model labels the others: workers are paid for these alone.
    """
    rows = []
    if fee:
        source = f"Ground Truth's fee, table of {DATED}; volume steps and free tier left out"
        rows.append(Row("label", "service fee", Decimal(objects), "objects", Price(LABELING_FEE, source)))
    tasks = Decimal((objects if by_people is None else by_people) * workers_per_object)
    if price is not None:
        rows.append(Row("label", what, tasks, "tasks", Price(price, "[labeling] price_per_task")))
    return rows


def automated_row(instance_type: str, price: Price) -> Row:
    """Automated labeling's training and inference: an hour of it, for how many nobody knows in advance."""
    what = f"automated labeling's training and inference on {instance_type}, for each hour"
    return Row("label", what, Decimal(1), "hours", price, recurring=True)


def training_row(instance_type: str, seconds: float, price: Price, *, stage: str = "train", what: str = "") -> Row:
    """Hours of one training instance."""
    return Row(stage, what or f"training on {instance_type}", Decimal(str(seconds)) / 3600, "hours", price)


def hosting_row(instance_type: str, count: int, price: Price, *, seconds: float | None) -> Row:
    """An endpoint for a time, or (None) as long as nobody deletes it: then the row is USD per hour."""
    hours = Decimal(count) if seconds is None else Decimal(str(seconds)) / 3600 * count
    what = f"endpoint on {count} x {instance_type}"
    return Row("deploy", what, hours, "hours", price, recurring=seconds is None)


def transform_row(instance_type: str, count: int, price: Price, *, seconds: float, images: int | None = None) -> Row:
    """Hours of the machines of a transform job. `images`: an estimate for so many; None: what was used."""
    what = f"batch transform on {count} x {instance_type}"
    if images is not None:
        what += f", {images:,} images"
    return Row("batch", what, Decimal(str(seconds)) / 3600, "hours", price)


def storage_row(size: int) -> Row:
    """Bytes in S3, as USD per hour while they stay there."""
    gigabytes = Decimal(size) / 10**9
    price = Price(
        STORAGE_GB_MONTH / HOURS_A_MONTH,
        f"S3 standard, table of {DATED}: {STORAGE_GB_MONTH} USD a GB and month",
    )
    return Row("storage", f"{gigabytes:.2f} GB in the bucket", gigabytes, "GB", price, recurring=True)
