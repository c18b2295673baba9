"""The only module that prints: data to stdout, progress and messages to stderr."""

from __future__ import annotations

import json
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from datetime import datetime
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TextIO

from gtseg.core.printable import printable, printable_json

if TYPE_CHECKING:
    from gtseg.pipeline.run.events import Event


QUIET_SECONDS = 5.0


def show(text: str = "", *, file: TextIO | None = None, end: str = "\n", flush: bool = False) -> None:
    """Print text with its control characters escaped; `file` None: stdout."""
    print(printable(text), file=file, end=end, flush=flush)


def print_json(value: Any) -> None:
    """Print one JSON document to stdout."""
    print(printable_json(json.dumps(value, indent=2, default=as_json, ensure_ascii=False)))


def as_json(value: object) -> str:
    """Convert values that JSON lacks: times to ISO 8601, all others to their string."""
    return value.isoformat() if isinstance(value, datetime) else str(value)


def print_columns(head: Sequence[str], rows: Iterable[Sequence[str]], *, right: bool = False) -> None:
    """Print a table to stdout; with `right` all columns but the first are right-aligned."""
    table = [[printable(cell).replace("\n", "\\n").replace("\t", "\\t") for cell in row] for row in (head, *rows)]
    widths = [max(len(row[column]) for row in table) for column in range(len(head))]
    for first, *others in table:
        cells = [first.ljust(widths[0])]
        cells += [(c.rjust if right else c.ljust)(w) for c, w in zip(others, widths[1:], strict=True)]
        print("  ".join(cells).rstrip())


def say(text: str) -> None:
    print(printable(text), file=sys.stderr, flush=True)


class Listener(ABC):
    """Context manager that receives events."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    @abstractmethod
    def __call__(self, event: Event) -> None:
        """Receive one event."""


class JsonLines(Listener):
    """One JSON object per event: event, stage, message, done and total if known, and the event's own fields."""

    def __call__(self, event: Event) -> None:
        line: dict[str, Any] = {"event": event.kind, "stage": event.stage, "message": event.message}
        if event.done is not None:
            line |= {"done": event.done, "total": event.total}
        print(
            printable_json(json.dumps(line | dict(event.fields), default=as_json, ensure_ascii=False)),
            file=self.stream,
            flush=True,
        )


class TextLines(Listener):
    """Plain lines. Progress is printed when its message changes, at most every QUIET_SECONDS otherwise, and at its
    end."""

    last, printed_at = "", float("-inf")

    def __call__(self, event: Event) -> None:
        if event.kind == "log" or (event.kind == "progress" and not self._is_due(event)):
            return
        print(format_event(event), file=self.stream, flush=True)
        if event.kind == "plan":
            print_json(dict(event.fields))

    def _is_due(self, event: Event) -> bool:
        now = time.monotonic()
        changed = event.message != self.last
        if not changed and event.done != event.total and now - self.printed_at < QUIET_SECONDS:
            return False
        self.last, self.printed_at = event.message, now
        return True


def format_event(event: Event) -> str:
    mark = "warning: " if event.kind == "warning" else ""
    count = (
        f" {event.done:,}/{event.total:,}"
        if event.kind == "progress" and event.total and event.done is not None
        else ""
    )
    return printable(f"{event.stage}: {mark}{event.message}{count if event.stage != 'watch' else ''}")
