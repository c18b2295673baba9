"""Settings of one project: gtseg.toml < GTSEG_* environment < flags. Frozen; an unknown key is an error that names it."""

from __future__ import annotations

from gtseg.settings.loader import load
from gtseg.settings.settings import Settings

__all__ = ["Settings", "load"]
