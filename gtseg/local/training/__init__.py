"""Training jobs of the embedded AWS: queue, channels, the algorithm's process, logs, metrics, model artifact."""

from gtseg.local.training.jobs import TrainingJobs
from gtseg.local.training.operations import register

__all__ = ["TrainingJobs", "register"]
