"""Labeling jobs: requests, input and output manifests, agreement, prices."""
