"""Training jobs of the embedded AWS: queue, channels, the algorithm's process, logs, metrics, model artifact."""

from gtseg.local.training.jobs import TrainingJobs
from gtseg.local.training.operations import register
from gtseg.local.training.work import TrainingRecord

__all__ = ["TrainingJobs", "TrainingRecord", "register"]
