"""demo: write a project that labels, trains and evaluates itself on this machine; the CLI runs it."""

from __future__ import annotations

from gtseg.pipeline.commands.demo.project import Project, prepare

__all__ = ["Project", "prepare"]
