"""Exactly one labeling job after SIGKILL at any point: real processes and a real server behind a recording proxy."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from fault_proxy import THROTTLED, FaultProxy, Request
from labeling_project import Project

from gtseg.pipeline.run import Run


class Killer:
    """Kills the watched process at the first request of a name, before or after the server handles it."""

    def __init__(self, name: str, *, when: str) -> None:
        self.name, self.when = name, when
        self.process: subprocess.Popen[str] | None = None
        self.lock = threading.Lock()

    def before(self, request: Request) -> tuple[int, bytes] | None:
        return (500, b"") if self.when == "before" and self.kill(request) else None

    def after(self, request: Request) -> None:
        if self.when == "after":
            self.kill(request)

    def kill(self, request: Request) -> bool:
        assert self.process is not None
        with self.lock:
            if self.name not in request.name or not request.changes_something or self.process.poll() is not None:
                return False
            os.kill(self.process.pid, signal.SIGKILL)
            self.process.wait(10)
            return True


class Command:
    """`gtseg label` of a project as a process, through a proxy."""

    def __init__(self, project: Project, server: Any) -> None:
        self.project, self.server = project, server
        _ = project.settings  # writes gtseg.toml

    def start(self, url: str, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "gtseg", *(arguments or ("label",))],
            cwd=self.project.folder,
            env=self.server.environment | {"AWS_ENDPOINT_URL": url, "OMP_NUM_THREADS": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            text=True,
        )

    def finish(self) -> Run:
        process = self.start(self.server.url)
        _, stderr = process.communicate(timeout=60)
        assert process.returncode == 0, stderr
        return self.project.run

    def jobs(self) -> list[str]:
        answer = self.project.clients.sagemaker.list_labeling_jobs(NameContains=self.project.name)
        return [job["LabelingJobName"] for job in answer["LabelingJobSummaryList"]]


@pytest.fixture
def command(project: Project, shared_aws: Any) -> Command:
    project.image("a.jpg")
    return Command(project, shared_aws)


def changes_of(command: Command) -> list[str]:
    """Return the changing requests of one undisturbed command, in order."""
    with FaultProxy(command.server.url) as proxy:
        process = command.start(proxy.url)
        _, stderr = process.communicate(timeout=60)
        assert process.returncode == 0, stderr
    return [request.name for request in proxy.seen if request.changes_something]


def test_the_creating_call_is_between_two_writes_of_run_json(command: Command) -> None:
    names = changes_of(command)
    created = names.index("CreateLabelingJob")
    states = [n for n, name in enumerate(names) if "run.json" in name]
    assert states[0] < created < states[1]
    assert names.count("CreateLabelingJob") == 1


KILLS = [
    ("PUT /test-", "after"),
    ("images/", "before"),
    ("images/", "after"),
    ("?cors", "after"),
    ("run.json", "before"),
    ("run.json", "after"),
    ("data.json", "after"),
    ("CreateLabelingJob", "before"),
    ("CreateLabelingJob", "after"),
    ("run.json", "before"),
]


def test_a_command_killed_at_any_step_creates_one_job_in_the_end(command: Command) -> None:
    """Bucket, image, CORS rule, attempt, files, creating call, result: each process is killed one step later."""
    for name, when in KILLS:
        killer = Killer(name, when=when)
        with FaultProxy(command.server.url, before=killer.before, after=killer.after) as proxy:
            killer.process = command.start(proxy.url)
            _, stderr = killer.process.communicate(timeout=60)
        assert killer.process.returncode == -signal.SIGKILL, f"not killed {when} {name}: {stderr}"
    run = command.finish()
    assert command.jobs() == [run.labeling_job.name] == [f"{command.project.name}-label-1"]  # type: ignore[union-attr]
    assert [a.outcome for a in run.attempts] == ["adopted"]


def test_throttled_calls_are_repeated_and_create_one_job(command: Command) -> None:
    left = {"CreateLabelingJob": 3, "DescribeLabelingJob": 2, "ListWorkteams": 2}

    def throttle(request: Request) -> tuple[int, bytes] | None:
        left[request.name] = left.get(request.name, 0) - 1
        return THROTTLED if left[request.name] >= 0 else None

    with FaultProxy(command.server.url, before=throttle) as proxy:
        process = command.start(proxy.url)
        _, stderr = process.communicate(timeout=90)
    assert process.returncode == 0, stderr
    assert len(command.jobs()) == 1


def test_a_lost_response_does_not_create_a_second_job(command: Command) -> None:
    lost: list[str] = []

    def lose(request: Request) -> None:
        if request.name == "CreateLabelingJob" and not lost:
            lost.append(request.name)
            raise ConnectionResetError

    with FaultProxy(command.server.url, after=lose) as proxy:
        process = command.start(proxy.url)
        _, stderr = process.communicate(timeout=90)
    assert process.returncode == 0, stderr
    assert lost
    assert len(command.jobs()) == 1
    assert command.project.run.attempts[0].outcome in {"created", "adopted"}


def test_two_commands_at_once_create_one_job_and_the_later_one_fails(command: Command) -> None:
    command.project.clients.s3.create_bucket(Bucket=f"test-{command.project.name}")
    processes = [command.start(command.server.url) for _ in range(3)]
    ends = [(process.communicate(timeout=90)[1], process.returncode) for process in processes]
    assert len(command.jobs()) == 1
    assert any(code == 0 for _, code in ends)
    for stderr, code in ends:
        assert code == 0 or (code == 1 and "Another gtseg process has advanced run" in stderr), stderr


def test_ctrl_c_during_watch_is_exit_code_130_and_the_job_continues(command: Command) -> None:
    run = command.finish()
    process = command.start(command.server.url, "watch", "--json")
    assert process.stdout is not None
    first = json.loads(process.stdout.readline())
    assert (first["event"], first["remaining"]) == ("progress", 1)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "return to it with `gtseg watch`" in stderr
    answer = command.project.clients.sagemaker.describe_labeling_job(LabelingJobName=run.labeling_job.name)  # type: ignore[union-attr]
    assert answer["LabelingJobStatus"] == "InProgress"


def test_a_dry_run_sends_only_reading_requests(command: Command, tmp_path: Path) -> None:
    with FaultProxy(command.server.url) as proxy:
        process = command.start(proxy.url, "label", "--dry-run")
        stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 0, stderr
    assert json.loads(stdout)["request"]["LabelingJobName"] == f"{command.project.name}-label-1"
    assert [request.name for request in proxy.seen if request.changes_something] == []
    assert len(proxy.seen) > 3
