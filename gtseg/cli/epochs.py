"""Progress of a training job: log lines above, a table of epochs below."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TextIO

from gtseg.cli.console import Listener, format_event, print_json, show
from gtseg.core.printable import printable

if TYPE_CHECKING:
    from gtseg.pipeline.run.events import Event

COLUMNS = (
    ("epoch", "number", "d"),
    ("train loss", "train_loss", ".4f"),
    ("mIoU", "miou", ".4f"),
    ("pixel acc.", "pixel_accuracy", ".4f"),
    ("images/s", "train_throughput", ".1f"),
)
WIDTH = 11


def training_listener(*, logs: bool) -> Listener:
    """Return a live table on a terminal, aligned lines otherwise."""
    return LiveEpochs(sys.stderr, logs=logs) if sys.stderr.isatty() else EpochLines(sys.stderr, logs=logs)


def cells(fields: Mapping[str, Any]) -> list[str]:
    """Format one epoch's numbers; '-' for those that the log lacks."""
    return [f"{fields[key]:{form}}" if fields.get(key) is not None else "-" for _, key, form in COLUMNS]


class EpochLines(Listener):
    """Plain lines; the header of the table before its first row."""

    def __init__(self, stream: TextIO, *, logs: bool) -> None:
        super().__init__(stream)
        self.logs, self.begun, self.last = logs, False, ""

    def __call__(self, event: Event) -> None:
        if event.kind == "log":
            if self.logs:
                show(event.message, file=self.stream, flush=True)
        elif event.kind == "epoch":
            self._row(event.fields)
        elif event.message != self.last or event.kind != "progress":
            self.last = event.message
            show(format_event(event), file=self.stream, flush=True)
        if event.kind == "plan":
            print_json(dict(event.fields))

    def _row(self, fields: Mapping[str, Any]) -> None:
        if not self.begun:
            self.begun = True
            show("".join(head.rjust(WIDTH) for head, _, _ in COLUMNS), file=self.stream)
        best = "  best so far" if fields.get("best") else ""
        show("".join(cell.rjust(WIDTH) for cell in cells(fields)) + best, file=self.stream, flush=True)


class LiveEpochs(EpochLines):
    """Table that grows at the bottom of the terminal; all other lines scroll above it."""

    def __init__(self, stream: TextIO, *, logs: bool) -> None:
        from rich.console import Console
        from rich.live import Live

        super().__init__(stream, logs=logs)
        self.rows: list[Mapping[str, Any]] = []
        self.status = ""
        self.console = Console(file=stream, highlight=False, soft_wrap=True)
        self.live = Live(console=self.console, refresh_per_second=4, get_renderable=self._table)

    def __enter__(self) -> Self:
        self.live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.live.stop()

    def __call__(self, event: Event) -> None:
        from rich.text import Text

        if event.kind == "epoch":
            self.rows.append(event.fields)
        elif event.kind == "progress":
            self.status = event.message
        elif event.kind != "log" or self.logs:
            text = printable(event.message) if event.kind == "log" else format_event(event)
            style = {"log": "dim", "warning": "yellow", "finished": "green"}.get(event.kind, "")
            self.console.print(Text(text, style=style))
        if event.kind == "plan":
            print_json(dict(event.fields))

    def _table(self) -> Any:
        from rich.table import Table
        from rich.text import Text

        if not self.rows:
            return Text(self.status, style="cyan")
        table = Table(title=self.status, title_justify="left", title_style="cyan")
        for head, _, _ in COLUMNS:
            table.add_column(head, justify="right")
        best = max(range(len(self.rows)), key=lambda n: self.rows[n].get("miou") or -1.0)
        shown = max(5, self.console.height - 8)
        for number, row in list(enumerate(self.rows))[-shown:]:
            table.add_row(*cells(row), style="bold green" if number == best else "")
        return table
