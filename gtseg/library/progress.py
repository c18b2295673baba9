"""Listeners of a stage's events in a program: a live line in a notebook, lines on stderr otherwise."""

from __future__ import annotations

import sys
import time
from html import escape
from typing import Any

from gtseg.core.printable import printable
from gtseg.pipeline.run.events import Event, Notify

QUIET_SECONDS = 5.0
KEPT_LINES = 12


def listen() -> Notify:
    """Return a notebook listener in a notebook, else one that writes lines to stderr."""
    display = _notebook_display()
    return _Cell(display) if display else _Lines()


def _notebook_display() -> Any:
    """Return a display handle in a notebook's kernel, None otherwise."""
    shell = sys.modules.get("IPython")
    found = shell.get_ipython() if shell else None
    if found is None or type(found).__name__ != "ZMQInteractiveShell":
        return None
    from IPython.display import HTML, display

    return display(HTML(""), display_id=True)  # type: ignore[no-untyped-call]


class _Lines:
    last, shown_at = "", float("-inf")

    def __call__(self, event: Event) -> None:
        if event.kind == "log":
            return
        if event.kind == "progress":
            now = time.monotonic()
            if event.message == self.last and event.done != event.total and now - self.shown_at < QUIET_SECONDS:
                return
            self.last, self.shown_at = event.message, now
        print(_words(event), file=sys.stderr, flush=True)


class _Cell:
    """The last lines of a stage, and a progress bar below them, in one output of the cell."""

    def __init__(self, display: Any) -> None:
        self.display, self.lines, self.bar, self.shown_at = display, list[str](), "", 0.0

    def __call__(self, event: Event) -> None:
        if event.kind == "log":
            return
        if event.kind == "progress":
            now = time.monotonic()
            if event.done != event.total and now - self.shown_at < 0.3:
                return
            self.shown_at = now
            share = f" max='{event.total}' value='{event.done or 0}'" if event.total else ""
            self.bar = f"<div><progress{share}></progress> {escape(_words(event))}</div>"
        else:
            self.bar = ""
            self.lines.append(escape(_words(event)))
        from IPython.display import HTML

        shown = "<br>".join(self.lines[-KEPT_LINES:])
        text = f"<div style='font-family:monospace;font-size:12px'>{shown}</div>{self.bar}"
        self.display.update(HTML(text))  # type: ignore[no-untyped-call]


def _words(event: Event) -> str:
    mark = "warning: " if event.kind == "warning" else ""
    count = f" {event.done:,}/{event.total:,}" if event.total and event.done is not None else ""
    return printable(f"{event.stage}: {mark}{event.message}{count if event.kind == 'progress' else ''}")
