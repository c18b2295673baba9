"""A job with automated labeling on 1,300 drawn scenes (scripts/benchmark automated): minutes of CPU time.

Its short form, which runs by default, is the job on drawn discs of test_automated_jobs.py.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))
from scripts import benchmark_automated


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_workers_label_a_third_of_the_drawn_scenes_and_automatic_labels_are_good(tmp_path: Path) -> None:
    count = benchmark_automated.SCENES
    classes = benchmark_automated.draw(tmp_path, count)
    figures = benchmark_automated.run(argparse.Namespace(error=0.05), tmp_path, classes)
    assert (figures.status, figures.objects) == ("Completed", count)
    assert figures.by_people + figures.by_machine == count
    assert figures.by_people <= 0.35 * count
    assert len(figures.qualities) == figures.by_machine
    assert np.mean(figures.qualities) >= max(0.8, *(bound for bound in figures.bounds if bound is not None))
