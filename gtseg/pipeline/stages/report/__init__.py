"""report: the run as one page to show, and its numbers for programs."""

from __future__ import annotations

from gtseg.pipeline.stages.report.stage import report

__all__ = ["report"]
