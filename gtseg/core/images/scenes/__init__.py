"""A small example that draws itself: sea turtles and boats from above, with exact masks. Same seed, same scenes."""

from __future__ import annotations

from gtseg.core.images.scenes.drawing import LABELS, Scene, draw_scene

__all__ = ["LABELS", "Scene", "draw_scene"]
