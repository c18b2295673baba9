"""dataset: output.manifest -> training channels that the built-in algorithm takes."""

from __future__ import annotations

from gtseg.pipeline.stages.dataset.stage import dataset

__all__ = ["dataset"]
