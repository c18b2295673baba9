"""Choice of the number of threads: the faster of one and all, compared again every minute."""

from __future__ import annotations

import pytest

from gtseg.local.algorithm.hardware.threads import AGAIN, TRIALS, Threads, cores


class Machine:
    """A clock, and how long a step takes with each number of threads."""

    def __init__(self, seconds: dict[int, float]) -> None:
        self.now, self.seconds, self.used = 0.0, seconds, 0

    def use(self, number: int) -> None:
        self.used = number

    def run(self, threads: Threads, steps: int) -> list[int]:
        chosen = []
        for _ in range(steps):
            with threads.step():
                chosen.append(self.used)
                self.now += self.seconds[self.used]
        return chosen


@pytest.mark.parametrize(("seconds", "faster"), [({1: 1.0, 4: 0.3}, 4), ({1: 1.0, 4: 5.0}, 1)])
def test_the_faster_number_of_threads_is_chosen_and_kept(seconds: dict[int, float], faster: int) -> None:
    machine = Machine(seconds)
    threads = Threads(4, clock=lambda: machine.now, use=machine.use)
    tried = machine.run(threads, 2 * TRIALS + 1)
    assert set(tried) == {1, 4}
    assert set(machine.run(threads, 10)) == {faster}


def test_thread_numbers_are_compared_again_when_the_speed_changes() -> None:
    machine = Machine({1: 1.0, 2: 0.5})
    threads = Threads(2, clock=lambda: machine.now, use=machine.use)
    machine.run(threads, 2 * TRIALS + 2)
    machine.seconds[2] = 9.0
    machine.now += AGAIN + 1
    machine.run(threads, 2 * TRIALS)
    assert set(machine.run(threads, 5)) == {1}


def test_thread_numbers_are_not_compared_on_one_core() -> None:
    machine = Machine({1: 1.0})
    assert set(machine.run(Threads(1, clock=lambda: machine.now, use=machine.use), 9)) == {1}


def test_the_environment_limits_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert cores() == 3
    monkeypatch.setenv("OMP_NUM_THREADS", "nonsense")
    assert cores() >= 1
