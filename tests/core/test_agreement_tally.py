from __future__ import annotations

import numpy as np
import pytest

from gtseg.core.labeling.agreement import WorkerAnswer
from gtseg.core.labeling.agreement_tally import Tally

CLASSES = ("BACKGROUND", "cat", "dog")


def mask(*rows: list[int]) -> np.ndarray:
    return np.array(rows, np.uint8)


def answer(worker: str, *rows: list[int], seconds: float | None = 1.0) -> WorkerAnswer:
    return WorkerAnswer(worker, mask(*rows), seconds)


def test_a_workers_score_is_over_all_their_pixels() -> None:
    tally = Tally(CLASSES)
    tally.add("a", [answer("ann", [1, 1, 0, 0]), answer("bob", [1, 0, 0, 0])])
    tally.add("b", [answer("ann", [1, 1, 1, 1]), answer("bob", [1, 1, 1, 1])])
    result = tally.result()
    assert [worker.others for worker in result.workers] == [pytest.approx(5 / 6)] * 2
    assert result.miou == pytest.approx((0.5 + 1) / 2)
    assert [image.image for image in result.images] == ["a", "b"], "the hardest comes first"
    cat, dog = result.classes[1:]
    assert cat.others == pytest.approx(5 / 6)
    assert dog.others is None


def test_gold_scores_a_single_answer_and_ignores_void() -> None:
    tally = Tally(CLASSES)
    tally.add("a", [answer("ann", [1, 2, 1])], consolidated=mask([1, 2, 1]), gold=mask([1, 1, 255]))
    (worker,) = tally.result().workers
    assert worker.consolidated is None, "the consolidated mask of one answer is that answer"
    assert worker.gold == pytest.approx((0.5 + 0) / 2)
    assert worker.gold_images == 1


def test_slow_and_deviating_workers_are_marked() -> None:
    tally = Tally(CLASSES)
    for number in range(3):
        tally.add(
            str(number),
            [
                answer("ann", [1, 1, 1, 0]), answer("bob", [1, 1, 1, 0], seconds=9), answer("cy", [0, 0, 1, 1]),
                answer("dan", [1, 1, 1, 0]),
            ],
        )  # fmt: skip
    marks = {worker.worker: (worker.is_slow, worker.is_off) for worker in tally.result().workers}
    assert marks == {"ann": (False, False), "bob": (True, False), "cy": (False, True), "dan": (False, False)}


def test_masks_of_different_sizes_are_not_compared() -> None:
    tally = Tally(CLASSES)
    tally.add("a", [answer("ann", [1, 1]), answer("bob", [1])], gold=mask([1, 1, 1]))
    result = tally.result()
    assert result.miou is None
    assert {worker.score for worker in result.workers} == {None}


def test_a_tally_of_no_answers_has_no_workers() -> None:
    result = Tally(CLASSES).result()
    assert (result.images, result.workers, result.miou) == ((), (), None)


def test_an_answer_that_started_from_a_suggestion_is_not_compared() -> None:
    ones, twos = np.ones((4, 4), np.uint8), np.zeros((4, 4), np.uint8)
    tally = Tally(("BACKGROUND", "cat"))
    tally.add(
        "a",
        [WorkerAnswer("x", ones, 2.0), WorkerAnswer("y", twos, 3.0, suggested_by="job/assist-1")],
        gold=ones,
    )
    found = tally.result()
    assert found.suggested == 1
    assert found.miou is None
    scores = {worker.worker: (worker.answers, worker.others, worker.gold) for worker in found.workers}
    assert scores == {"x": (1, None, 1.0), "y": (1, None, None)}
    assert found.images[0].answers == 2
