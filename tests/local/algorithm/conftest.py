"""No property of the algorithm is about time: the machine that tests it is shared."""

from __future__ import annotations

import os

from hypothesis import settings

os.environ["OMP_NUM_THREADS"] = "1"  # as many threads here as in the containers that the tests start

settings.register_profile("algorithm", deadline=None)
settings.load_profile("algorithm")
