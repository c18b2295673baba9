"""Hypothesis settings: no deadlines, because timings of a shared machine vary."""

from __future__ import annotations

import os

from hypothesis import settings

os.environ["OMP_NUM_THREADS"] = "1"  # as many threads here as in the containers that the tests start

settings.register_profile("algorithm", deadline=None)
settings.load_profile("algorithm")
