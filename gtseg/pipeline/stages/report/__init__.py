"""report: the run as one HTML page, and its data as JSON."""

from __future__ import annotations

from gtseg.pipeline.stages.report.stage import report

__all__ = ["report"]
