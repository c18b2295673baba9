"""Commands that are not stages: review, predict, compare, export, serve and others."""
