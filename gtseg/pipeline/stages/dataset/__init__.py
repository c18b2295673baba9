"""dataset: output.manifest -> training channels for the built-in algorithm."""

from __future__ import annotations

from gtseg.pipeline.stages.dataset.stage import dataset

__all__ = ["dataset"]
