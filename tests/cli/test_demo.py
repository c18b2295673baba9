"""gtseg demo: the command with its own embedded AWS, up to the stages that train and host a model."""

from __future__ import annotations

import fcntl
import io
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from local_aws import LocalAWS
from PIL import Image

from gtseg.cli import main
from gtseg.cli.demo import Narrator, follow, interrupted_by_sigterm
from gtseg.core.scores.evaluation import Result, Tally, conclude
from gtseg.errors import Interrupted
from gtseg.local.environment import find_serving
from gtseg.pipeline.commands.demo import Project, prepare
from gtseg.pipeline.run import (
    DatasetSection,
    EndpointSection,
    Run,
    TrainingJobSection,
)
from gtseg.pipeline.stages.evaluate.sections import section_of

OWN = ("demo", "out", "--images", "images", "--masks", "masks", "--labels", "cat")
BUCKET = "gtseg-123456789012-us-east-1"
NOW = datetime(2026, 11, 30, tzinfo=UTC)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder with three images and their masks; it is the working directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    for number in range(3):
        for name, kind in ((f"images/{number}.jpg", "RGB"), (f"masks/{number}.png", "L")):
            Path(name).parent.mkdir(exist_ok=True)
            pixels = np.full((24, 32), number, np.uint8) if kind == "RGB" else np.eye(24, 32, dtype=np.uint8)
            Image.fromarray(pixels).convert(kind).save(name)
    return tmp_path


@pytest.fixture
def gtseg(folder: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Run `gtseg` in this process; returns (exit code, stdout, stderr)."""

    def run(*words: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as end:
            main(list(words))
        return int(end.value.code or 0), *capsys.readouterr()

    return run


def prepared(**options: Any) -> Project:
    """Return the demo that OWN prepares."""
    given = {"images": Path("images"), "masks": Path("masks"), "labels": ["cat"], "progress": lambda *_: None}
    return prepare(Path("out"), **(given | options))


@contextmanager
def started(*words: str, **options: Any) -> Iterator[subprocess.Popen[str]]:
    """Start `gtseg` in a session of its own, with its output in pipes; kill it if the test ends first."""
    given = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    given |= {"start_new_session": True, "env": dict(os.environ)}  # not the COLUMNS of a pytest with readline
    command = [sys.executable, "-m", "gtseg", *words]
    with subprocess.Popen(command, **(given | options)) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()


def read_until(process: subprocess.Popen[str], start: str) -> str:
    """Return the first line of stdout that starts so."""
    assert process.stdout is not None
    return next(line for line in process.stdout if line.startswith(start))


def read_terminal(number: int, until: str = "") -> str:
    """Return what is written to a terminal until a text, or until its last process ends."""
    seen = b""
    try:
        while (not until or until.encode() not in seen) and (chunk := os.read(number, 4096)):
            seen += chunk
    except OSError:  # Linux, when the other side is closed
        pass
    return seen.decode()


def test_ctrl_c_ends_a_demo_and_its_server_and_says_how_to_continue(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 60, 0, 0))
    terminal = {"stdin": theirs, "stdout": theirs, "stderr": theirs}
    monkeypatch.delenv("COLUMNS", raising=False)
    with started(*OWN, **terminal, preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0)) as process:
        os.close(theirs)
        seen = read_terminal(ours, until="watch     their answers")
        os.write(ours, b"\x03")
        seen += read_terminal(ours)
        assert process.wait() == 130
    os.close(ours)
    message = "gtseg: Interrupted. The work done so far is kept in out; run the same command again to continue."
    *lines, last = seen.replace("^C", "").replace("\r\n", "\n").replace("\r\x1b[K", "\n").splitlines()
    assert last == message
    assert max(map(len, lines)) <= 60
    assert seen.count(": interrupted (") == 1
    assert find_serving(folder / "out/aws") is None


def test_a_failed_command_is_explained_and_its_messages_are_in_the_log(folder: Path, gtseg: Any) -> None:
    prepared()
    (folder / "out/aws").write_text("")
    code, out, err = gtseg(*OWN)
    assert (code, out.count("\n")) == (1, 1)
    assert err == (
        f"gtseg: {folder}/out/aws: File exists\n"
        "gtseg: the demo stopped. All messages are in out/demo.log; run the same command again to continue.\n"
    )
    assert (folder / "out/demo.log").read_text() == f"gtseg: {folder}/out/aws: File exists\n"


# --- the last stages, of a run whose model is scored already ---


def score() -> Result:
    """Return the scores of ten equal images whose prediction has half of the object."""
    truth = np.repeat(np.uint8([[0, 1]]), 4, 0)
    tally = Tally(2)
    for number in range(10):
        tally.add(str(number), truth, truth * np.uint8([[1], [1], [0], [0]]))
    return conclude(tally)


def store_scored_run(aws: LocalAWS) -> None:
    """Store the run of a demo that ended before its report; its endpoint is deleted."""
    root = f"s3://{BUCKET}/demo/"
    run = Run(name="demo", root=root, account="123456789012", region="us-east-1", created=NOW, project="demo")
    run = run.update(
        dataset=DatasetSection(
            channels=f"{root}channels/",
            classes=("BACKGROUND", "cat"),
            counts={"train": 2, "validation": 1, "test": 1},
            fingerprint="f",
            source=f"{root}output.manifest",
        ),
        training_job=TrainingJobSection(
            name="t", arn="a", image_uri="i", instance_type="ml.c5.xlarge", hyperparameters={}, status="Completed"
        ),
        endpoint=EndpointSection(
            name="e",
            arn="a",
            config="c",
            model="m",
            model_data="d",
            image_uri="i",
            instance_type="ml.c5.xlarge",
            status="InService",
            deleted=NOW,
        ),
        evaluation=section_of(score(), ("BACKGROUND", "cat"), split="test", endpoint="e", dataset="f", made=NOW),
    )
    s3 = aws.client("s3")
    s3.create_bucket(Bucket=BUCKET)
    s3.put_object(Bucket=BUCKET, Key="demo/run.json", Body=run.model_dump_json().encode())


def test_a_demo_waits_for_a_server_that_has_its_folder_and_ends_with_the_report(folder: Path) -> None:
    prepared()
    aws = LocalAWS(folder / "out/aws")
    try:
        store_scored_run(aws)
        with started(*OWN) as process:
            assert "`gtseg local up` must be stopped with Ctrl-C" in read_until(process, "          waiting for")
            aws.stop()
            out, err = process.communicate()
    finally:
        aws.stop()
    assert (process.returncode, err) == (0, "")
    lines = [re.sub(r" (\([^(]*s\)|after .*)$", "", line) for line in out.splitlines()]
    assert [line.partition(": ")[2][:12] for line in lines[:6]] == ["done already"] * 6
    assert lines[6:] == [
        "report    all results on one page: " + str(folder / "out/report.html"),
        "cleanup   the endpoint is deleted, as on AWS to stop its cost; the data is kept: 0 resources deleted",
        "",
        "mIoU 0.583 (95 % interval 0.583 to 0.583) on 10 test images,",
        "Report: out/report.html",
        "Labeling page: `gtseg local up --data out/aws`",
        "Next, with your own images: `gtseg init` in a new folder, then `gtseg local exec -- gtseg run`.",
    ]
    assert "mIoU 0.583" in (folder / "out/report.html").read_text()


# --- input and signals ---


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("--images", "images"), 2, "--images and --masks must be given together"),
        (("--labels", "cat"), 2, "--labels, --label-values and --void need --masks"),
        (("--images", "nowhere", "--masks", "masks"), 3, "--images nowhere: there is no such folder"),
        (("--images", "images", "--masks", "images/0.jpg"), 3, "--masks images/0.jpg: there is no such folder"),
        (
            ("--images", "masks", "--masks", "images"),
            3,
            "No image has a mask in images: a mask is a PNG with the image",
        ),
        (("--images", "images", "--masks", "masks", "--labels", "a,a"), 2, "--labels names a class twice: a"),
        (
            ("--images", "images", "--masks", "masks", "--labels", "a", "--label-values", "1-3"),
            2,
            "--label-values gives 3 values, --labels names 1 label",
        ),
        (("--train-seconds", "0"), 2, "--train-seconds"),
        (("--train-seconds", "nan"), 2, "--train-seconds"),
    ],
)
def test_each_mistake_is_named_and_writes_nothing(
    folder: Path, gtseg: Any, words: tuple[str, ...], code: int, message: str
) -> None:
    found, out, err = gtseg("demo", "out", *words)
    assert (found, out.count(": failed (")) == (code, 0 if "--train-seconds" in words else 1)
    assert message in err
    assert not (folder / "out").exists()


@pytest.mark.parametrize(
    ("place", "code", "message"),
    [
        ("file", 1, "gtseg: file cannot be used for a demo: File exists. Use another folder."),
        (
            ".",
            2,
            "gtseg: . has images and masks that no demo wrote: use a folder of its own, such as `gtseg demo gtseg-",
        ),
    ],
)
def test_a_folder_that_cannot_be_used_is_named(folder: Path, gtseg: Any, place: str, code: int, message: str) -> None:
    (folder / "file").write_text("")
    found, _, err = gtseg("demo", place, *OWN[2:])
    assert (found, err[: len(message)]) == (code, message)


def test_a_demo_of_other_labels_is_refused_with_both(folder: Path, gtseg: Any) -> None:
    prepared(void=7)
    code, _, err = gtseg("demo", "out", *OWN[2:-1], "dog")
    assert code == 2
    assert err == (
        "gtseg: out has a demo with --labels cat, --void 7; the command has --labels dog, no --void. Use the same "
        "options, or another folder.\n"
    )


CHILD = """
import os, signal, sys
print("working", file=sys.stderr, flush=True)
try:
    print('{"stage": "train", "event": "note", "message": ""}', flush=True)
    signal.pause()
except KeyboardInterrupt:
    print("saved", file=sys.stderr)
"""


class Terminator(Narrator):
    """Sends SIGTERM to this process at the first event."""

    def receive(self, event: dict[str, Any]) -> None:
        super().receive(event)
        os.kill(os.getpid(), signal.SIGTERM)


def test_sigterm_is_forwarded_and_the_command_may_finish(folder: Path) -> None:
    project, before = prepared(), signal.getsignal(signal.SIGTERM)
    narrator = Terminator(stream := io.StringIO())
    with (folder / "log").open("w") as log, pytest.raises(Interrupted, match="kept in out; run the same command again"):
        with interrupted_by_sigterm(), narrator:
            follow([sys.executable, "-c", CHILD], narrator, log, project)
    assert (folder / "log").read_text().splitlines()[1:] == ["working", "saved"]
    assert stream.getvalue().startswith("train     a network learns from the train images")
    assert ": interrupted (" in stream.getvalue()
    assert signal.getsignal(signal.SIGTERM) == before


def test_a_killed_command_has_the_exit_code_of_its_signal(folder: Path) -> None:
    project, narrator = prepared(), Narrator(stream := io.StringIO())
    command = [sys.executable, "-c", CHILD.replace("signal.pause()", "os.kill(os.getpid(), 9)")]
    with (folder / "log").open("w") as log, narrator:
        assert follow(command, narrator, log, project) == (137, "working\n")
    assert stream.getvalue().partition(" (")[0].endswith("validation images: failed")
