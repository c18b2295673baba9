"""Work of AWS that is waited for, and how to come back to it when nobody waits any more."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from gtseg.aws.clients import Service
from gtseg.aws.waiting import poll
from gtseg.errors import Interrupted
from gtseg.pipeline.run.context import Context

__all__ = ["follow", "how_to_resume"]

T = TypeVar("T")


def follow(
    look: Callable[[], T],
    context: Context,
    *,
    until: Callable[[T], bool],
    patience: float,
    resume: str,
    stopped: str = "Stopped waiting.",
) -> T:
    """The first answer of `look` for which `until` holds.

    Raises WaitTimeout after `patience` seconds of waiting, Interrupted (with `stopped`) on Ctrl-C: what is waited for goes on.
    """
    try:
        return poll(look, until=until, patience=patience, resume=resume, sleep=context.sleep)
    except KeyboardInterrupt:
        raise Interrupted(f"{stopped} {resume}") from None


def how_to_resume(
    name: str,
    context: Context,
    *,
    command: str,
    service: Service = "sagemaker",
    verb: str = "goes on",
    otherwise: str = "",
) -> str:
    """`name` goes on by itself, unless its service ends with this command; `otherwise` is another way out."""
    if context.clients.ends_with_command(service):
        return (
            f"{name} rests as soon as `gtseg local exec` ends, and goes on with `gtseg local exec -- {command}`, "
            "or under `gtseg local up`."
        )
    return f"{name} {verb} by itself; come back with `{command}`{otherwise}."
