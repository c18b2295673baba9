"""What every value of run.json is."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Frozen(BaseModel):
    """A value of run.json. Keys of a newer gtseg are refused, not dropped."""

    model_config = ConfigDict(frozen=True, extra="forbid")
