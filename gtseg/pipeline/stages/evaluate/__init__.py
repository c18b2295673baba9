"""evaluate: score a run's test split, or any predictions against any masks."""

from __future__ import annotations

from gtseg.pipeline.stages.evaluate.folders import evaluate_folders
from gtseg.pipeline.stages.evaluate.sections import section_of
from gtseg.pipeline.stages.evaluate.stage import evaluate

__all__ = ["evaluate", "evaluate_folders", "section_of"]
