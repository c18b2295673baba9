"""The two classes that every mask may hold beside its labels, and how many classes there can be."""

from __future__ import annotations

BACKGROUND = "BACKGROUND"
"""The class that Ground Truth adds by itself; always index 0 here."""
MAX_CLASSES = 254
"""num_classes of the built-in algorithm, background included (developer guide, segmentation-hyperparameters)."""
VOID, VOID_NAME = 255, "void"
"""The value that the algorithm ignores ("hole", example notebook), and what it is called here."""
