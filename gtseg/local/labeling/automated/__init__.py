"""Automated data labeling: in rounds, workers label a sample and a model labels what it is confident of."""
