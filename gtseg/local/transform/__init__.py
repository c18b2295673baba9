"""Batch transform of the embedded AWS: each object of a prefix is sent to the job's own containers."""

from gtseg.local.transform.operations import register

__all__ = ["register"]
