"""Live progress bar on a terminal: labeled, failed, remaining, rate, time left."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TextIO

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, SpinnerColumn
from rich.table import Column
from rich.text import Text

from gtseg.cli.console import Listener, format_event, print_json

if TYPE_CHECKING:
    from gtseg.pipeline.run.events import Event


BAR_WIDTH = 30


class Description(ProgressColumn):
    """Message of the task on one line. It is the only column that is cut if the terminal is narrow."""

    def render(self, task: Any) -> Text:
        return Text(task.description, no_wrap=True, overflow="ellipsis")


class Rate(ProgressColumn):
    """Objects per minute since the start, and the time left at that rate.

    The mean of the rounded wait is used because people label in bursts.
    """

    def render(self, task: Any) -> Text:
        if not task.elapsed or task.completed <= (start := task.fields.get("start_at", 0)):
            return Text("")
        rate = (task.completed - start) / task.elapsed
        left = (task.total - task.completed) / rate if task.total else 0
        return Text(f"{rate * 60:,.1f}/min, {duration(left)} left" if left else f"{rate * 60:,.1f}/min")


def duration(seconds: float) -> str:
    """Format seconds: 1 h 05 min, 3 min 20 s, 12 s."""
    rounded = int(seconds + 0.5)
    if rounded >= 3600:
        return f"{rounded // 3600} h {rounded % 3600 // 60:02d} min"
    return f"{rounded // 60} min {rounded % 60:02d} s" if rounded >= 60 else f"{rounded} s"


class LiveBar(Listener):
    def __init__(self, stream: TextIO) -> None:
        super().__init__(stream)
        self.console = Console(file=stream, highlight=False, soft_wrap=True)
        whole = Column(no_wrap=True)
        self.progress = Progress(
            SpinnerColumn(table_column=whole),
            Description(),
            BarColumn(bar_width=min(BAR_WIDTH, self.console.width // 4), table_column=whole),
            MofNCompleteColumn(table_column=whole),
            Rate(table_column=whole),
            console=self.console,
            transient=True,
        )
        self.tasks: dict[str, Any] = {}

    def __enter__(self) -> Self:
        self.progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.progress.stop()

    def __call__(self, event: Event) -> None:
        if event.kind == "log":
            return
        if event.kind == "progress":
            self._advance(event)
            return
        style = {"warning": "yellow", "finished": "green"}.get(event.kind, "")
        self.console.print(Text(format_event(event), style=style))
        if event.kind == "plan":
            print_json(dict(event.fields))

    def _advance(self, event: Event) -> None:
        """Update the stage's bar; its message may change, and a smaller `done` restarts it."""
        if event.stage not in self.tasks:
            for task in self.tasks.values():
                self.progress.remove_task(task)
            start = event.done or 0
            task = self.progress.add_task(event.message, total=event.total, completed=start, start_at=start)
            self.tasks = {event.stage: task}
        self.progress.update(
            self.tasks[event.stage], description=event.message, total=event.total, completed=event.done or 0
        )
