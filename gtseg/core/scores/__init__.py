"""Scores: confusion matrix, intervals, boundary F1."""
