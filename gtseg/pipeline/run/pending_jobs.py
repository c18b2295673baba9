"""Waiting for AWS jobs, and messages that tell how to resume after an interruption."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from gtseg.aws.clients import Service
from gtseg.aws.waiting import poll
from gtseg.errors import Interrupted
from gtseg.pipeline.run.context import Context

T = TypeVar("T")


def follow(
    read_state: Callable[[], T],
    context: Context,
    *,
    until: Callable[[T], bool],
    patience: float,
    resume: str,
    stopped: str = "Stopped waiting.",
) -> T:
    """Poll `read_state` and return its first result for which `until` is true.

    Raises WaitTimeout after `patience` seconds, Interrupted (with `stopped`) on Ctrl-C; the job continues in both
    cases.
    """
    try:
        return poll(read_state, until=until, patience=patience, resume=resume, sleep=context.sleep)
    except KeyboardInterrupt:
        raise Interrupted(f"{stopped} {resume}") from None


def how_to_resume(
    name: str,
    context: Context,
    *,
    command: str,
    service: Service = "sagemaker",
    verb: str = "continues",
    otherwise: str = "",
) -> str:
    """Return the sentence that tells how to resume; `otherwise` is a further option.

    A job of an embedded AWS that ends with the command is paused until it is started again.
    """
    if context.clients.ends_with_command(service):
        return (
            f"{name} pauses when `gtseg local exec` ends and continues with `gtseg local exec -- {command}`, "
            "or under `gtseg local up`."
        )
    return f"{name} {verb} on its own; return to it with `{command}`{otherwise}."
