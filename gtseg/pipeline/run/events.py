"""Events that report the progress of a stage. Only the CLI prints them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Kind = Literal["note", "warning", "progress", "log", "epoch", "plan", "finished"]


@dataclass(frozen=True)
class Event:
    """Event of a stage.

    note: a message. warning: a message that needs action. progress: `done` of `total` (None: not known yet).
    log: a line of a job's own log. epoch: one epoch of a training job, its numbers in `fields`.
    plan: what --dry-run would have done. finished: the final message of the stage. `fields` hold the same facts as JSON
    values.
    """

    stage: str
    kind: Kind
    message: str
    done: int | None = None
    total: int | None = None
    fields: Mapping[str, Any] = field(default_factory=dict)


Notify = Callable[[Event], None]


def ignore(event: Event) -> None:
    """Discard an event."""


@dataclass(frozen=True)
class Consent:
    """Consent of the user. `spend` is called with the question, which contains the price, before anything is
    created."""

    spend: Callable[[str], bool] = lambda words: True
    check_cost: Callable[[str, Any, int | None], None] = lambda stage, run, objects: None
    """Called before `spend` with stage, run and number of objects: shows the cost, raises GtsegError if [budget]
    forbids it."""
    stop: Callable[[str], bool] = lambda words: True
    """Called before a job without progress is stopped."""
    create_bucket: bool = False
    public_crowd: bool = False
