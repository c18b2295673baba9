"""Plan of a dataset: what was read and decided before anything is written."""

from __future__ import annotations

from dataclasses import dataclass

from gtseg.core.masks import Classes
from gtseg.core.training.channels import annotation_key, image_key
from gtseg.pipeline.stages.dataset.check import Finding
from gtseg.pipeline.stages.dataset.earlier_dataset import Earlier
from gtseg.pipeline.stages.dataset.ledger import Table
from gtseg.pipeline.stages.dataset.sources import Lines
from gtseg.pipeline.stages.dataset.writer import Placement


@dataclass(frozen=True)
class Plan:
    """Inputs and decisions. `findings` of lines with a mask, `placements` of the good ones, both by line position.

    `parts`: used names with their splits; `missing`: number of placements that are not written yet.
    """

    lines: Lines
    manifest_etag: str
    classes: Classes
    earlier: Earlier
    findings: Table[int, Finding]
    placements: Table[int, Placement]
    parts: Table[str, str]
    missing: int
    spread: tuple[str, ...]

    def holds(self, key: str) -> bool:
        """Return whether a good object's image or annotation is there, below channels/."""
        name = key.rpartition("/")[2].rpartition(".")[0]
        part = self.parts.get(name)
        return part is not None and key in (image_key(part, name), annotation_key(part, name))
