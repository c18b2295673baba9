"""label: start a Ground Truth labeling job for images."""

from __future__ import annotations

from gtseg.pipeline.stages.label.stage import label

__all__ = ["label"]
