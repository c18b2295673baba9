"""gtseg demo."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
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

STORY = {
    "images": "images, with masks that the simulated workers will copy",
    "label": "simulated workers draw masks over the images, three each, with the slips of people",
    "watch": "their answers come in and are voted into one mask per image",
    "dataset": "masks are checked pixel by pixel and split into train, validation and test",
    "train": "a network learns from the train images, and is watched on the validation images",
    "deploy": "the best network goes behind an endpoint that answers images with masks",
    "evaluate": "the endpoint is tested on the images that training never saw",
    "report": "all of it on one page",
    "cleanup": "the endpoint is deleted, as you would on AWS to stop its cost; the data stays",
}
WIDTH = 10
REWRITE = "\r\033[K"
"""Back to the line's start, and the line cleared."""
SIGNALED = 128
ALREADY_SERVED = ("is already served at", "another server is using the data folder")
"""What `gtseg local exec` says while the server of a demo that was killed still ends: its command notices at its next word."""
GHOST_SECONDS, PAUSE_SECONDS = 120.0, 3.0


@app.command()
def demo(
    folder: Annotated[Path, typer.Argument(metavar="[DIR]", help="Where everything goes.")] = Path("gtseg-demo"),
    images: Annotated[Path | None, typer.Option(metavar="DIR", help="Your own images instead of drawn scenes.")] = None,
    masks: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Their index PNGs: the simulated workers copy them.")
    ] = None,
    labels: Annotated[str, typer.Option(metavar="A,B", help=LABELS_HELP)] = "",
    label_values: LabelValues = "",
    void: Void = None,
    train_seconds: Annotated[float, typer.Option(min=1, help="Time for training.")] = 45.0,
) -> None:
    """From images to a report in a few minutes, on this machine, without an AWS account.


    DIR/report.html is the result. The same command again goes on where it stopped.
    """
    from gtseg.core.masks.class_values import parse_values
    from gtseg.pipeline.commands.demo import prepare

    signal.signal(signal.SIGTERM, _interrupt)
    begun = time.monotonic()
    names = [name.strip() for name in labels.split(",") if name.strip()]
    with Narrator() as narrator:
        narrator.hear({"stage": "images", "event": "note", "message": ""})
        project = prepare(
            folder,
            images=images,
            masks=masks,
            labels=names,
            values=parse_values(label_values) if label_values else (),
            void=void,
            progress=narrator.count_images,
        )
        narrator.result = f"{project.images} images of {', '.join(project.labels)}"
    for remark in project.remarks:
        show(f"{'':<{WIDTH}}{remark}")
    if project.skipped:
        show(
            f"{'':<{WIDTH}}{counted(len(project.skipped), 'image has no mask and is', 'images have no mask and are')} left out, like {project.skipped[0]}"
        )
    code = _run(project, train_seconds)
    code = max(code, _cleanup(project)) if code in (0, 5) else code
    if code not in (0, 5):
        raise SystemExit(code)
    _conclude(project, time.monotonic() - begun)
    raise typer.Exit(code)


def _conclude(project: Project, seconds: float) -> None:
    found = json.loads((project.folder / "report.json").read_text())["evaluation"]
    span = found["intervals"].get("miou")
    interval = f" (95 % interval {span[0]:.3f} to {span[1]:.3f})" if span else ""
    score = "unknown" if found["miou"] is None else f"{found['miou']:.3f}"
    show(f"\nmIoU {score}{interval} on {found['images']} {found['split']} images, after {_duration(seconds)}.")
    show(f"Open {project.folder / 'report.html'}")


def _run(project: Project, train_seconds: float) -> int:
    """`gtseg run` on an embedded AWS of the demo's own; one line per stage."""
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
            code, said = _follow(command, Narrator(), log, project)
            if not any(words in said for words in ALREADY_SERVED) or waited >= GHOST_SECONDS:
                break
            if not waited:
                show(
                    f"{'':<{WIDTH}}an earlier demo of this folder was cut off and is still ending: waiting for it",
                    flush=True,
                )
            time.sleep(PAUSE_SECONDS)
            waited += PAUSE_SECONDS
        _explain(code, said, log)
        return SIGNALED + abs(code) if code < 0 else code


def _explain(code: int, said: str, log: TextIO) -> None:
    """When it failed, its own last words and where all of them are."""
    if code in (0, 5):
        return
    show("\n".join([line for line in said.splitlines() if line.strip()][-8:]), file=sys.stderr)
    show(
        f"gtseg: the demo stopped. Everything it said is in {log.name}; the same command goes on.",
        file=sys.stderr,
    )


def _cleanup(project: Project) -> int:
    with (project.folder / "demo.log").open("a", encoding="utf-8") as log:
        command = [*_gtseg("local", "exec", "--data", str(project.data)), "--"]
        command += _gtseg("cleanup", "--settings", str(project.settings))
        with Narrator() as narrator:
            narrator.hear({"stage": "cleanup", "event": "note", "message": ""})
            done = subprocess.run(command, stdout=log, stderr=subprocess.PIPE, text=True, check=False)
            log.write(done.stderr)
            gone = [line for line in done.stderr.splitlines() if line.startswith("cleanup: deleted")]
            narrator.result = f"{len(gone)} resources deleted" if done.returncode == 0 else f"failed, see {log.name}"
        return done.returncode


def _gtseg(*words: str) -> list[str]:
    return [sys.executable, "-m", "gtseg", *words]


def _follow(command: list[str], narrator: Narrator, log: TextIO, project: Project) -> tuple[int, str]:
    """The command's exit code and what it said on stderr. Its events are narrated, and all is kept in the log."""
    errors = project.folder / "demo.err"
    with errors.open("w+", encoding="utf-8") as stderr:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=stderr, text=True)
        assert process.stdout is not None
        try:
            for line in process.stdout:
                log.write(line)
                narrator.hear(_event(line))
        except KeyboardInterrupt:
            narrator.end()
            _let_end(process)
            raise Interrupted(f"What was done is kept in {project.folder}; the same command goes on.") from None
        code = process.wait()
        narrator.end()
        stderr.seek(0)
        said = stderr.read()
        log.write(said)
    errors.unlink()
    return code, said


def _let_end(process: subprocess.Popen[str]) -> None:
    """A terminal's Ctrl-C has reached the command too; a signal to this process alone has not."""
    try:
        process.wait(5)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGINT)
        process.wait()


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def _event(line: str) -> dict[str, Any]:
    try:
        event = json.loads(line)
    except ValueError:
        return {}
    return event if isinstance(event, dict) else {}


class Narrator:
    """One line per stage: what it is for when it starts, what came of it when the next one does."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self.stream = stream or sys.stdout
        self.stage, self.begun, self.result, self.live = "", 0.0, "", self.stream.isatty()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def hear(self, event: dict[str, Any]) -> None:
        stage = event.get("stage")
        if stage not in STORY:
            return
        if stage != self.stage:
            self.end()
            self.stage, self.begun = stage, time.monotonic()
            self._put(STORY[stage])
        if event["event"] == "finished" or event["message"].startswith("done already"):
            self.result = event["message"]
        elif self.live and event["event"] in ("progress", "epoch"):
            self._show(event)

    def count_images(self, done: int, total: int) -> None:
        self.hear({"stage": "images", "event": "progress", "message": "drawn", "done": done, "total": total})

    def _show(self, event: dict[str, Any]) -> None:
        """On a terminal the line shows how it goes until the stage has ended."""
        is_counted = event.get("total") and event["event"] == "progress"
        self._put(event["message"] + (f" {event['done']}/{event['total']}" if is_counted else ""))

    def _put(self, words: str) -> None:
        """Begin the stage's line, or on a terminal write over it: a line that wraps could not be taken back."""
        line = printable(f"{self.stage:<{WIDTH}}{words}")
        if self.live:
            line = f"{REWRITE}{line[: shutil.get_terminal_size().columns - 1]}"
        print(line, end="", flush=True, file=self.stream)

    def end(self) -> None:
        """Close the line of the stage that has ended."""
        if not self.stage:
            return
        took = _duration(time.monotonic() - self.begun)
        start = f"{REWRITE}{self.stage:<{WIDTH}}{STORY[self.stage]}" if self.live else ""
        end = printable(f": {self.result}") if self.result else ""
        print(f"{start}{end} ({took})", flush=True, file=self.stream)
        self.stage, self.result = "", ""


def _duration(seconds: float) -> str:
    whole = round(seconds)
    return f"{whole // 60} min {whole % 60:02d} s" if whole >= 60 else f"{whole} s"
