"""label: images -> a running Ground Truth job."""

from __future__ import annotations

from gtseg.pipeline.stages.label.stage import label

__all__ = ["label"]
