"""[budget]: what a run may cost."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Literal

from pydantic import Field

from gtseg.settings.table import Table


class Budget(Table):
    max_usd: Annotated[Decimal, Field(gt=0, le=10_000_000)] | None = None
    """The run, all stages together, by gtseg's own estimates."""
    on_exceed: Literal["stop", "refuse", "warn"] = "stop"
    """warn: only said. refuse: a stage that could exceed it is not started either. stop: what runs when it is reached is
    stopped too: labeling, training and tuning jobs by the command that follows them, endpoints by `gtseg serve`."""
