"""Bounded waits and retries; the only module that uses tenacity."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

import tenacity

from gtseg.aws.failures import is_transient
from gtseg.aws.refusals import is_about_role
from gtseg.errors import AWSError, WaitTimeout

T = TypeVar("T")

SHORTEST, LONGEST = 1.0, 30.0
"""Seconds between two polls: short at first so that quick jobs end quickly, long later to spare AWS requests."""
TROUBLE_SECONDS = 15 * 60.0
"""Seconds for which throttling, server errors and broken connections may last without one successful response."""


ROLE_SECONDS, ROLE_ATTEMPTS = 5.0, 13
"""Pause in seconds and attempts while a new role propagates in IAM, about a minute."""


def persist(
    call: Callable[[], T],
    *,
    seconds: float = 120.0,
    sleep: Callable[[float], None] = time.sleep,
) -> T:
    """Return the result of `call`. Retries temporary failures for `seconds` with jitter, then raises the last error.

    Retries for a minute if SageMaker cannot assume the role.
    """
    spreading = tenacity.Retrying(
        retry=tenacity.retry_if_exception(_waits_for_role),
        wait=tenacity.wait_fixed(ROLE_SECONDS),
        stop=tenacity.stop_after_attempt(ROLE_ATTEMPTS),
        sleep=sleep,
        reraise=True,
    )
    return spreading(lambda: _persist(call, seconds=seconds, sleep=sleep))


def _waits_for_role(error: BaseException) -> bool:
    return isinstance(error, AWSError) and is_about_role(error.operation, error.code, error.message)


def _persist(call: Callable[[], T], *, seconds: float, sleep: Callable[[float], None]) -> T:
    retrying = tenacity.Retrying(
        retry=tenacity.retry_if_exception(is_transient),
        wait=tenacity.wait_random_exponential(multiplier=SHORTEST, max=LONGEST),
        stop=tenacity.stop_after_delay(seconds) | tenacity.stop_after_attempt(50),
        sleep=sleep,
        reraise=True,
    )
    return retrying(call)


def poll(
    look: Callable[[], T],
    *,
    until: Callable[[T], bool],
    patience: float,
    resume: str,
    sleep: Callable[[float], None] = time.sleep,
) -> T:
    """Call `look` until `until(result)` holds, and return the result.

    Waits 1 s, backing off to 30 s, with jitter, and survives temporary failures. Raises WaitTimeout with `resume` (the
    command that continues) after `patience` seconds of waiting, AWSError for permanent failures.
    """
    retrying = tenacity.Retrying(
        retry=tenacity.retry_if_not_result(until),
        wait=tenacity.wait_exponential(multiplier=SHORTEST, exp_base=1.5, max=LONGEST * 0.8)
        + tenacity.wait_random(0, LONGEST * 0.2),
        stop=_waited(patience),
        sleep=sleep,
    )
    try:
        return retrying(lambda: persist(look, seconds=TROUBLE_SECONDS, sleep=sleep))
    except tenacity.RetryError:
        raise WaitTimeout(f"Still running after {patience:g} s of waiting. {resume}") from None


def _waited(patience: float) -> Callable[[tenacity.RetryCallState], bool]:
    """Return a stop condition that sums the waits themselves, so that tests with a fake sleep end too."""
    return lambda state: state.idle_for + state.upcoming_sleep > patience
