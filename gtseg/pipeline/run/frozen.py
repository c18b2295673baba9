"""Base class of all values in run.json."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Frozen(BaseModel):
    """Frozen value of run.json. Unknown keys, as of a newer gtseg, are refused, not dropped."""

    model_config = ConfigDict(frozen=True, extra="forbid")
