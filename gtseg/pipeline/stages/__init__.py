"""The stages of a run, in the order of order.py: each takes the run and leaves its section in it."""
