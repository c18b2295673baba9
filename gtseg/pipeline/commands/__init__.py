"""Commands that are no stage: review, predict, compare, export, serve and the like."""
