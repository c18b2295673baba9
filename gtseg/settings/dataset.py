"""[dataset]: how labeled images become train, validation and test."""

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
    def _sum_to_one(self) -> Split:
        total = self.train + self.validation + self.test
        if abs(total - 1) > 1e-6:
            raise ValueError(f"train + validation + test must be 1, they are {total:g}")
        if self.train == 0:
            raise ValueError("train must be more than 0")
        return self


class Dataset(Table):
    split: Split = Split()
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    group_by: str | None = None
    """A regular expression over an image's key; images with one match (its groups, else all of it) stay together."""
    min_confidence: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Objects whose lowest class confidence is below this are rejected; a single worker's 0 means 'none given'."""

    check: Literal["full", "palette"] = "full"
    """Every pixel of each mask, or its palette alone (the first kilobyte): much faster, but pixels are neither checked nor
    counted. Masks whose palette does not settle it are checked in full all the same."""

    void: tuple[str, ...] = (VOID_NAME,)
    """Classes whose pixels are left out of training and of every score (255 in the channels); any case."""

    alike_labels: Literal["ask", "merge", "keep"] = "ask"
    """Class names that differ only in case, spaces or Unicode form: asked about, one class, or classes of their own."""

    machine_labels: Literal["train-only", "use", "reject"] = "train-only"
    """Masks that a model made (`human-annotated: no`): in train alone, so that validation and test stay people's; used like any
    other; or left out."""

    @field_validator("group_by")
    @classmethod
    def _compile(cls, pattern: str | None) -> str | None:
        if pattern is not None:
            try:
                re.compile(pattern)
            except re.error as error:
                raise ValueError(f"not a regular expression: {error}") from None
        return pattern
