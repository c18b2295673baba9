"""[dataset]: conversion of labeled images to train, validation and test data."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from gtseg.core.classes import VOID_NAME
from gtseg.settings.table import Table

Share = Annotated[float, Field(ge=0, le=1)]


class Split(Table):
    train: Share = 0.7
    validation: Share = 0.2
    test: Share = 0.1

    @model_validator(mode="after")
    def _check_sum(self) -> Split:
        total = self.train + self.validation + self.test
        if abs(total - 1) > 1e-6:
            raise ValueError(f"train + validation + test must be 1; the sum is {total:g}")
        if self.train == 0:
            raise ValueError("train must be more than 0")
        return self


class Dataset(Table):
    split: Split = Split()
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    group_by: str | None = None
    """Regular expression that is searched in an image's key; images with equal matches (the groups, or the whole match
    if there are none) stay in the same split."""
    min_confidence: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Objects whose lowest class confidence is below this are rejected; 0 from a single worker means "not given"."""

    check: Literal["full", "palette"] = "full"
    """"full": check every pixel of each mask. "palette": check only its palette (the first kilobyte), which is much
    faster, but pixels are neither checked nor counted. Masks whose palette is not conclusive are always checked in
    full."""

    void: tuple[str, ...] = (VOID_NAME,)
    """Classes whose pixels are excluded from training and from all scores (255 in the channels); case-insensitive."""

    alike_labels: Literal["ask", "merge", "keep"] = "ask"
    """Class names that differ only in case, spaces or Unicode form: ask, merge them into one class, or keep them
    apart."""

    machine_labels: Literal["train-only", "use", "reject"] = "train-only"
    """Masks that a model made (`human-annotated: no`). "train-only": put them into train only, so that validation and
    test have human labels only. "use": treat them like any other mask. "reject": leave them out."""

    @field_validator("group_by")
    @classmethod
    def _check_pattern(cls, pattern: str | None) -> str | None:
        if pattern is not None:
            try:
                re.compile(pattern)
            except re.error as error:
                raise ValueError(f"invalid regular expression: {error}") from None
        return pattern
