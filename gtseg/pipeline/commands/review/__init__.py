"""Labeling jobs that go on from labels: what is missing is labeled, masks are corrected, masks are judged."""

from __future__ import annotations

from gtseg.pipeline.commands.review.adjusting import adjust
from gtseg.pipeline.commands.review.choosing_next import label_next
from gtseg.pipeline.commands.review.continuing import continue_labeling
from gtseg.pipeline.commands.review.prelabeling import prelabel
from gtseg.pipeline.commands.review.verifying import verify

__all__ = ["adjust", "continue_labeling", "label_next", "prelabel", "verify"]
