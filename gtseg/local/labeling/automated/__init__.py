"""Automated data labeling: people label a sample, a model labels what it is sure of, again until all is labeled."""
