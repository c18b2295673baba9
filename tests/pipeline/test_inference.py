"""Concurrent predictions: ordered, bounded; a bad image is distinguished from a broken endpoint."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from gtseg.errors import AWSError, ImageError
from gtseg.pipeline.run.inference import in_order


def test_results_are_in_the_order_of_the_items() -> None:
    gate = threading.Event()

    def work(item: int) -> int:
        gate.wait(10) if item == 0 else gate.set()
        return item * 10

    assert list(in_order(range(6), work, concurrency=3)) == [(n, n * 10) for n in range(6)]


def test_at_most_twice_the_concurrency_is_started_before_results_are_read() -> None:
    begun: list[int] = []
    results = in_order(range(100), lambda item: begun.append(item), concurrency=2)
    next(results)
    assert len(begun) <= 5
    results.close()  # type: ignore[attr-defined]
    assert len(begun) <= 8


def test_a_failing_image_is_reported_and_the_others_continue() -> None:
    def work(item: int) -> int:
        if item == 1:
            raise ImageError("cannot be decoded")
        if item == 2:
            raise AWSError("InvokeEndpoint e", "ModelError", "the model stumbled")
        return item

    results = [result for _, result in in_order(range(4), work, concurrency=2)]
    assert [type(result).__name__ for result in results] == ["int", "ImageError", "AWSError", "int"]


@pytest.mark.parametrize("code", ["ValidationError", "AccessDenied", "ConnectionError"])
def test_an_error_that_affects_every_image_ends_the_prediction(code: str) -> None:
    def work(item: int) -> Any:
        raise AWSError("InvokeEndpoint e", code, "no such endpoint")

    with pytest.raises(AWSError, match=code):
        list(in_order(range(50), work, concurrency=2))


def test_without_items_there_are_no_results() -> None:
    assert list(in_order([], lambda item: item, concurrency=2)) == []
