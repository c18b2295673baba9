"""train and tune: the run's channels -> a trained model, its epochs and the best of them."""

from __future__ import annotations

from gtseg.pipeline.stages.train.stage import train
from gtseg.pipeline.stages.train.tuning import tune

__all__ = ["train", "tune"]
