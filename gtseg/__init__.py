"""gtseg: from unlabeled images to a measured, deployed semantic segmentation model."""

__version__ = "0.2.0"
