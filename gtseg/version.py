"""The version of gtseg."""

__version__ = "0.2.0"
