"""Stages of a run, in the order of order.py: each takes the run and returns it with its section."""
