"""Hyperparameter tuning jobs of the embedded AWS: Random, Grid and Bayesian search over training jobs."""

from gtseg.local.tuning.operations import register

__all__ = ["register"]
