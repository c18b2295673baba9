"""Labeling jobs that start from labels: label what is missing, correct masks, verify masks."""

from __future__ import annotations

from gtseg.pipeline.commands.review.adjust import adjust
from gtseg.pipeline.commands.review.continuation import continue_labeling
from gtseg.pipeline.commands.review.next_images import label_next
from gtseg.pipeline.commands.review.prelabel import prelabel
from gtseg.pipeline.commands.review.verify import verify

__all__ = ["adjust", "continue_labeling", "label_next", "prelabel", "verify"]
