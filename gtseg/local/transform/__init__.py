"""Batch transform of the embedded AWS: every object of a prefix through a container of the model's own."""

from gtseg.local.transform.operations import register

__all__ = ["register"]
