"""Learning rate schedules, compared with the log of a real job, and the time budget."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gtseg.local.algorithm.data import batches_through
from gtseg.local.algorithm.hyperparameters import Hyperparameters, parse
from gtseg.local.algorithm.optimization import Budget, crop_at, planned_updates, rate_factor

REAL_LOG = Path(__file__).resolve().parents[2] / "data/training-log/ss_training_log_2020-04.txt"
REQUIRED = {"num_classes": "21", "num_training_samples": "1464"}


def made(**given: str) -> Hyperparameters:
    return parse({**REQUIRED, **given})


def test_poly_logs_the_real_jobs_learning_rates() -> None:
    """38 of the 40 logged rates agree in all digits, the other two differ by one in the last digit."""
    h = made(learning_rate="0.0001")
    printed = re.findall(
        r"epoch: (\d+), iterations: (\d+) speed: \S+ samples/sec learning_rate: (\S+)", REAL_LOG.read_text()
    )
    assert len(printed) == 40
    per_epoch, planned = planned_updates(h, 16)
    assert (per_epoch, planned) == (91, 910)
    differences = []
    for epoch, iteration, rate in printed:
        t = int(epoch) * 91.5 + int(iteration)
        differences.append(round(abs(h.learning_rate * rate_factor("poly", t / planned, h) - float(rate)) * 1e6, 3))
    assert sum(d <= 0.51 for d in differences) >= 38
    assert max(differences) < 1.6


@given(st.integers(1, 300), st.integers(1, 64), st.integers(1, 12))
def test_batches_roll_over_and_every_epoch_has_one(samples: int, batch: int, epochs: int) -> None:
    ends = [batches_through(e, samples=samples, batch=batch) for e in range(-1, epochs)]
    assert ends[0] == 0
    assert all(b > a for a, b in itertools.pairwise(ends))
    if samples >= batch:
        assert ends[-1] == epochs * samples // batch


def test_the_real_jobs_epochs_have_91_and_92_batches() -> None:
    ends = [batches_through(e, samples=1464, batch=16) for e in range(-1, 4)]
    assert [b - a for a, b in itertools.pairwise(ends)] == [91, 92, 91, 92]


def test_step_multiplies_at_its_epochs() -> None:
    h = made(lr_scheduler="step", lr_scheduler_step="3,8", lr_scheduler_factor="0.5", epochs="10")
    assert [rate_factor("step", p, h) for p in (0, 0.29, 0.3, 0.79, 0.8, 1)] == [1, 1, 0.5, 0.5, 0.25, 0.25]


@pytest.mark.parametrize("name", ["poly", "cosine", "warm-cosine"])
def test_every_decay_ends_near_zero_and_never_rises_after_its_start(name: str) -> None:
    factors = [rate_factor(name, p / 100, made()) for p in range(4, 101)]
    assert factors[-1] < 0.01
    assert all(a >= b for a, b in itertools.pairwise(factors))
    assert rate_factor(name, 7.0, made()) == rate_factor(name, 1.0, made())


def test_the_time_budget_includes_resumed_runs_and_keeps_a_reserve() -> None:
    now = 100.0
    budget = Budget(60, clock=lambda: now, spent=20)
    assert budget.share() == pytest.approx(20 / 60)
    budget.reserve = 10
    now += 15
    assert budget.share() == pytest.approx(35 / 50)
    now += 1000
    assert budget.share() == 1


def test_a_job_without_a_time_budget_never_ends_early() -> None:
    now = 0.0
    budget = Budget(None, clock=lambda: now)
    now = 1e9
    assert budget.share() == 0


def test_crops_grow_with_progress() -> None:
    assert [crop_at((96, 128, 160), p) for p in (0, 0.34, 0.67, 1.0)] == [96, 128, 160, 160]


def test_an_update_starts_only_if_the_budget_covers_it_and_the_reserve() -> None:
    now = [0.0]
    budget = Budget(25, clock=lambda: now[0])
    budget.reserve = 5
    now[0] = 8.0
    assert budget.has_room(12)
    assert not budget.has_room(12.5)
    assert not budget.is_used()
    now[0] = 25.0
    assert budget.is_used()
    assert Budget(None).has_room(1e9)
    assert not Budget(None).is_used()
