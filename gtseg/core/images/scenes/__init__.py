"""Synthetic example scenes: sea turtles and boats from above, with exact masks. Deterministic by seed."""

from __future__ import annotations

from gtseg.core.images.scenes.drawing import LABELS, Scene, draw_scene

__all__ = ["LABELS", "Scene", "draw_scene"]
