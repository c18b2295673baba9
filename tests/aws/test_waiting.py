from __future__ import annotations

import pytest

from gtseg.aws.waiting import persist, poll
from gtseg.errors import AWSError, WaitTimeout


class Script:
    """Returns or raises the given values in order; `slept` has the pauses between."""

    def __init__(self, *answers: object) -> None:
        self.answers, self.slept = list(answers), []  # type: ignore[var-annotated]

    def __call__(self) -> object:
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)


def throttled() -> AWSError:
    return AWSError("DescribeLabelingJob", "ThrottlingException", "Rate exceeded")


def test_throttling_and_broken_connections_are_retried() -> None:
    script = Script(throttled(), AWSError("x", "ConnectionError", "reset"), AWSError("x", "InternalFailure", ""), "ok")
    assert persist(script, sleep=script.sleep) == "ok"
    assert len(script.slept) == 3


def test_a_permanent_failure_is_raised_without_a_retry() -> None:
    script = Script(AWSError("x", "AccessDenied", "no"))
    with pytest.raises(AWSError, match="AccessDenied"):
        persist(script, sleep=script.sleep)
    assert script.slept == []


def test_retries_of_a_call_end_after_a_limit() -> None:
    script = Script(throttled())
    with pytest.raises(AWSError, match="Rate exceeded"):
        persist(script, sleep=script.sleep)
    assert 5 < len(script.slept) < 60


def test_polls_start_a_second_apart_and_back_off_to_thirty_seconds() -> None:
    script = Script(*[False] * 15, True)
    assert poll(script, until=bool, patience=1e6, resume="", sleep=script.sleep) is True
    assert 1 <= script.slept[0] <= 7.1
    assert all(24 <= pause <= 30 for pause in script.slept[-4:])
    assert len(set(script.slept[-4:])) > 1


def test_throttling_does_not_end_a_wait() -> None:
    script = Script(False, throttled(), throttled(), True)
    assert poll(script, until=bool, patience=1e6, resume="", sleep=script.sleep) is True


def test_a_wait_times_out_with_the_command_that_resumes_it() -> None:
    script = Script(False)
    with pytest.raises(WaitTimeout, match="come back with x"):
        poll(script, until=bool, patience=100, resume="come back with x", sleep=script.sleep)
    assert sum(script.slept) <= 100
