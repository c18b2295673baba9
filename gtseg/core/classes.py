"""Background and void, the two classes that every mask may hold besides its labels, and the maximum number of
classes.
"""

from __future__ import annotations

BACKGROUND = "BACKGROUND"
"""The class that Ground Truth adds itself; always index 0 here."""
MAX_CLASSES = 254
"""Maximum num_classes of the built-in algorithm, background included (developer guide,
segmentation-hyperparameters).
"""
VOID, VOID_NAME = 255, "void"
"""Pixel value that the algorithm ignores ("hole", example notebook), and its name here."""
