"""Settings of a project: gtseg.toml, overridden by GTSEG_* environment variables, overridden by flags.

Settings are frozen; an unknown key raises an error that names it.
"""

from __future__ import annotations

from gtseg.settings.loader import load
from gtseg.settings.settings import Settings

__all__ = ["Settings", "load"]
