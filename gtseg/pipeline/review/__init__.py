"""Labeling jobs that go on from labels: what is missing is labeled, masks are corrected, masks are judged."""

from __future__ import annotations

from gtseg.pipeline.review.adjusting import adjust
from gtseg.pipeline.review.continuing import continue_labeling
from gtseg.pipeline.review.prelabeling import prelabel
from gtseg.pipeline.review.verifying import verify

__all__ = ["adjust", "continue_labeling", "prelabel", "verify"]
