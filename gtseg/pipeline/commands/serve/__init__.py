"""serve: the service that advances every run of a project by itself."""

from __future__ import annotations

from gtseg.pipeline.commands.serve.service import Service

__all__ = ["Service"]
