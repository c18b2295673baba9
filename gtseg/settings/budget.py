"""[budget]: spending limit of a run."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Literal

from pydantic import Field

from gtseg.settings.table import Table


class Budget(Table):
    max_usd: Annotated[Decimal, Field(gt=0, le=10_000_000)] | None = None
    """Limit in USD for all stages of the run together, by gtseg's own estimates."""
    on_exceed: Literal["stop", "refuse", "warn"] = "stop"
    """"warn": print a warning only. "refuse": also do not start a stage that could exceed the limit. "stop": also stop
    running work when the limit is reached: the command that follows a labeling, training or tuning job stops the job,
    `gtseg serve` deletes endpoints."""
