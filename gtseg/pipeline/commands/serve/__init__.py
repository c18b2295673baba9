"""serve: a service that advances every run of a project unattended."""

from __future__ import annotations

from gtseg.pipeline.commands.serve.service import Service

__all__ = ["Service"]
