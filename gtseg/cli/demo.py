"""gtseg demo."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Annotated, Any, Self, TextIO

import typer

from gtseg.cli.console import show
from gtseg.cli.options import LABELS_HELP, LabelValues, Void
from gtseg.core.plurals import counted
from gtseg.core.printable import printable
from gtseg.errors import Interrupted

if TYPE_CHECKING:
    from gtseg.pipeline.commands.demo import Project

app = typer.Typer(rich_markup_mode=None)

DESCRIPTIONS = {
    "images": "images, with masks for the simulated workers to copy",
    "label": "simulated workers draw masks on the images, three per image, with human-like errors",
    "watch": "their answers arrive and are voted into one mask per image",
    "dataset": "masks are checked pixel by pixel and split into train, validation and test",
    "train": "a network learns from the train images and is monitored on the validation images",
    "deploy": "the best network is deployed to an endpoint that returns masks of images",
    "evaluate": "the endpoint is tested on the images that training did not use",
    "report": "all results on one page",
    "cleanup": "the endpoint is deleted, as on AWS to stop its cost; the data is kept",
}
WIDTH = 10
REWRITE = "\r\033[K"
"""Return to the start of the line and clear it."""
NO_BREAK = "\u00a0"
SIGNALED = 128
FINISHED = (0, 5)
FOLDER_IN_USE = 75
"""Exit code of `gtseg local exec` while another server has the data folder: of a killed demo, or `gtseg local up`."""
SHUTDOWN_SECONDS, PAUSE_SECONDS = 120.0, 1.0
FORWARD_SECONDS = 5.0
"""Time that a command has to end by itself after Ctrl-C on its terminal."""


@app.command()
def demo(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Where everything goes.")] = Path("gtseg-demo"),
    images: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Your own images instead of generated scenes.")
    ] = None,
    masks: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Index PNGs of these images, which the simulated workers copy.")
    ] = None,
    labels: Annotated[str, typer.Option(metavar="A,B", help=LABELS_HELP)] = "",
    label_values: LabelValues = "",
    void: Void = None,
    train_seconds: Annotated[float, typer.Option(metavar="SECONDS", min=1, help="Time for training.")] = 45.0,
) -> None:
    """Run an example from images to a report in a few minutes, on this machine, without an AWS account.


    The result is DIR/report.html. Run the same command again to continue after an interruption.
    """
    from gtseg.core.masks.class_values import parse_values
    from gtseg.pipeline.commands.demo import prepare

    begun = time.monotonic()
    names = [name.strip() for name in labels.split(",") if name.strip()]
    with interrupted_by_sigterm():
        with Narrator() as narrator:
            narrator.receive({"stage": "images", "event": "note", "message": ""})
            project = prepare(
                folder,
                images=images,
                masks=masks,
                labels=names,
                values=parse_values(label_values) if label_values else (),
                void=void,
                progress=narrator.count_images,
            )
            narrator.result = f"{counted(project.images, 'image')} of {', '.join(project.labels)}"
        for remark in project.remarks:
            _show_remark(remark)
        if project.skipped:
            left_out = counted(len(project.skipped), "image has no mask and is", "images have no mask and are")
            _show_remark(f"{left_out} left out, like {project.skipped[0]}")
        code = _run(project, train_seconds)
        code = max(code, _cleanup(project)) if code in FINISHED else code
    if code in FINISHED:
        _conclude(project, time.monotonic() - begun)
    raise typer.Exit(code)


def _show_remark(text: str) -> None:
    show(_wrap(f"{'':<{WIDTH}}{text}") if sys.stdout.isatty() else f"{'':<{WIDTH}}{text}", flush=True)


def _wrap(line: str) -> str:
    """Wrap a line of a stage to the terminal's width, with the texts below each other."""
    columns = max(shutil.get_terminal_size().columns, WIDTH * 3)
    return textwrap.fill(line, columns, subsequent_indent=" " * WIDTH, break_long_words=False, break_on_hyphens=False)


def _conclude(project: Project, seconds: float) -> None:
    found = json.loads((project.folder / "report.json").read_text())["evaluation"]
    span = found["intervals"].get("miou")
    interval = f" (95 % interval {span[0]:.3f} to {span[1]:.3f})" if span else ""
    score = "unknown" if found["miou"] is None else f"{found['miou']:.3f}"
    images = counted(found["images"], f"{found['split']} image")
    show(f"\nmIoU {score}{interval} on {images}, after {_duration(seconds)}.")
    show(f"Report: {project.folder / 'report.html'}")
    show(f"Labeling page: `gtseg local up --data {shlex.quote(str(project.data))}`")
    show("Next, with your own images: `gtseg init` in a new folder, then `gtseg local exec -- gtseg run`.")


def _run(project: Project, train_seconds: float) -> int:
    """Run `gtseg run` on an embedded AWS of the demo's own; print one line per stage."""
    with (project.folder / "demo.log").open("a", encoding="utf-8") as log:
        command = [
            *_gtseg("local", "exec", "--data", str(project.data)),
            "--crowd-masks",
            str(project.masks.resolve()),
        ]
        command += ["--crowd-void", "255", "--crowd-label-values", f"1-{len(project.labels)}"]
        command += ["--train-seconds", f"{train_seconds:g}", "--crowd-workers", "5", "--"]
        command += _gtseg("run", "--settings", str(project.settings), "--yes", "--json")
        waited = 0.0
        while True:
            with Narrator() as narrator:
                code, messages = follow(command, narrator, log, project)
            if code != FOLDER_IN_USE or waited >= SHUTDOWN_SECONDS:
                break
            if not waited:
                _show_remark(
                    f"waiting for another server to release {project.data}: that of an interrupted demo is shutting "
                    "down; `gtseg local up` must be stopped with Ctrl-C"
                )
            time.sleep(PAUSE_SECONDS)
            waited += PAUSE_SECONDS
        _explain(code, messages, log)
        return code


def _explain(code: int, messages: str, log: TextIO) -> None:
    """Print the last lines of a failed command and the path of the log."""
    if code in FINISHED:
        return
    show("\n".join([line for line in messages.splitlines() if line.strip()][-8:]), file=sys.stderr)
    show(
        f"gtseg: the demo stopped. All messages are in {log.name}; run the same command again to continue.",
        file=sys.stderr,
    )


def _cleanup(project: Project) -> int:
    with (project.folder / "demo.log").open("a", encoding="utf-8") as log:
        command = [*_gtseg("local", "exec", "--data", str(project.data)), "--"]
        command += _gtseg("cleanup", "--settings", str(project.settings))
        with Narrator() as narrator:
            narrator.receive({"stage": "cleanup", "event": "note", "message": ""})
            code, messages = follow(command, narrator, log, project)
            if code == 0:
                gone = sum(line.startswith("cleanup: deleted") for line in messages.splitlines())
                narrator.result = f"{counted(gone, 'resource')} deleted"
        _explain(code, messages, log)
        return code


def _gtseg(*words: str) -> list[str]:
    return [sys.executable, "-m", "gtseg", *words]


def follow(command: list[str], narrator: Narrator, log: TextIO, project: Project) -> tuple[int, str]:
    """Run the command and return its exit code and stderr; narrate its events and write all output to the log.

    Raises Interrupted, after the command has ended, for Ctrl-C and SIGTERM.
    """
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as stderr:
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=stderr, text=True, encoding="utf-8", errors="replace"
        )
        assert process.stdout is not None
        try:
            for line in process.stdout:
                log.write(line)
                narrator.receive(_event(line))
            code = process.wait()
        except KeyboardInterrupt:
            _wait_for_end(process)
            raise Interrupted(
                f"Interrupted. The work done so far is kept in {project.folder}; run the same command again to "
                "continue."
            ) from None
        finally:
            stderr.seek(0)
            messages = stderr.read()
            log.write(messages)
    if code not in FINISHED:
        narrator.result = "failed"
    return (SIGNALED - code if code < 0 else code), messages


def _wait_for_end(process: subprocess.Popen[str]) -> None:
    """Wait for the command to end. Ctrl-C on a terminal reaches it too; other signals are forwarded."""
    if _has_terminal():
        try:
            process.wait(FORWARD_SECONDS)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGINT)
    else:
        process.send_signal(signal.SIGINT)
    process.wait()


def _has_terminal() -> bool:
    """Return whether this process is in the foreground of a terminal, which sends Ctrl-C to its children too."""
    try:
        with open("/dev/tty") as terminal:
            return os.tcgetpgrp(terminal.fileno()) == os.getpgrp()
    except OSError:
        return False


@contextmanager
def interrupted_by_sigterm() -> Iterator[None]:
    """Treat SIGTERM like Ctrl-C."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _event(line: str) -> dict[str, Any]:
    try:
        event = json.loads(line)
    except ValueError:
        return {}
    return event if isinstance(event, dict) else {}


class Narrator:
    """One line per stage: its purpose when it starts, its result and duration when it ends."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self.stream = stream or sys.stdout
        self.stage, self.begun, self.result, self.live = "", 0.0, "", self.stream.isatty()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            self.result = "interrupted" if isinstance(error, KeyboardInterrupt | Interrupted) else "failed"
        self.end()

    def receive(self, event: dict[str, Any]) -> None:
        stage = event.get("stage")
        if stage not in DESCRIPTIONS:
            return
        if stage != self.stage:
            self.end()
            self.stage, self.begun = stage, time.monotonic()
            self._put(DESCRIPTIONS[stage])
        if event["event"] == "finished" or event["message"].startswith("done already"):
            self.result = event["message"]
        elif self.live and event["event"] in ("progress", "epoch"):
            self._show(event)

    def count_images(self, done: int, total: int) -> None:
        self.receive({"stage": "images", "event": "progress", "message": "drawn", "done": done, "total": total})

    def _show(self, event: dict[str, Any]) -> None:
        """Show the progress on the stage's line (terminal only)."""
        is_counted = event.get("total") and event["event"] == "progress"
        self._put(event["message"] + (f" {event['done']}/{event['total']}" if is_counted else ""))

    def _put(self, words: str) -> None:
        """Print the stage's line, replacing it on a terminal.

        It is cut to the terminal's width so that it can be replaced.
        """
        line = printable(f"{self.stage:<{WIDTH}}{words}")
        if self.live:
            line = f"{REWRITE}{line[: shutil.get_terminal_size().columns - 1]}"
        print(line, end="", flush=True, file=self.stream)

    def end(self) -> None:
        """Finish the line of the current stage."""
        if not self.stage:
            return
        took = _duration(time.monotonic() - self.begun)
        end = printable(f": {self.result}" if self.result else "") + f" ({took.replace(' ', NO_BREAK)})"
        if self.live:
            end = REWRITE + _wrap(f"{self.stage:<{WIDTH}}{DESCRIPTIONS[self.stage]}{end}")
        print(end.replace(NO_BREAK, " "), flush=True, file=self.stream)
        self.stage, self.result = "", ""


def _duration(seconds: float) -> str:
    rounded = round(seconds)
    return f"{rounded // 60} min {rounded % 60:02d} s" if rounded >= 60 else f"{rounded} s"
