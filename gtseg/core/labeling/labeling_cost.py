"""Cost of a labeling job by published prices."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from gtseg.core.plurals import counted

FEE_PER_OBJECT = Decimal("0.08")
"""USD per labeled object for any workforce (first volume step; AWS's object detection example notebook uses it)."""


@dataclass(frozen=True)
class LabelingCost:
    """Cost in USD. `workers`: None if a private or vendor team is paid outside of AWS's bill."""

    objects: int
    workers_per_object: int
    fee: Decimal
    workers: Decimal | None
    fewest: int | None = None
    """Minimum number of objects that people label if a model may label the others; None: people label all."""

    @property
    def total(self) -> Decimal:
        return self.fee + (self.workers or Decimal(0))

    def sentence(self) -> str:
        fee = f"{counted(self.objects, 'object')} x {FEE_PER_OBJECT} USD service fee"
        if self.workers is None:
            return (
                f"{fee} = {self.total:,.2f} USD, plus your team's cost for "
                f"{counted(self.objects * self.workers_per_object, 'task')}"
            )
        price = self.workers / (self.objects * self.workers_per_object)
        if self.fewest is not None:
            least = self.fee + self.fewest * self.workers_per_object * price
            return (
                f"{fee}, and {counted(self.workers_per_object, 'worker')} x {price:.2f} USD for each of the "
                f"{self.fewest:,} to {self.objects:,} that people label = {least:,.2f} to {self.total:,.2f} USD"
            )
        return (
            f"{counted(self.objects, 'object')} x ({counted(self.workers_per_object, 'worker')} x {price:.2f} + "
            f"{FEE_PER_OBJECT}) USD = {self.total:,.2f} USD"
        )


def labeling_cost(
    objects: int, workers_per_object: int, *, price: Decimal | None, fewest: int | None = None
) -> LabelingCost:
    """Return the cost of labeling every object. `price`: USD per worker and object of the public crowd.

    `fewest`: minimum number of objects that people label if a model may label the others.
    """
    workers = None if price is None else objects * workers_per_object * price
    return LabelingCost(objects, workers_per_object, objects * FEE_PER_OBJECT, workers, fewest)
