"""demo: a project that labels, trains and measures itself on this machine. Here it is written; the CLI runs it."""

from __future__ import annotations

from gtseg.pipeline.commands.demo.project import Project, prepare

__all__ = ["Project", "prepare"]
