"""Processes of jobs: exit codes across server restarts, locks, signals, priorities."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from polling import wait_for

from gtseg.local.jobs.processes import Process

PATIENT = (
    "import signal, sys, time; signal.signal(signal.SIGTERM, lambda *_: sys.exit(7)); print('up', flush=True); "
    "time.sleep(60)"
)


def launch(folder: Path, code: str, *, dies_with_us: bool = False) -> Process:
    process = Process(folder)
    process.launch([sys.executable, "-c", code], dies_with_us=dies_with_us)
    return process


def await_output(process: Process) -> None:
    wait_for(lambda: process.output.exists() and process.output.stat().st_size)


@pytest.mark.parametrize("dies_with_us", [False, True])
@pytest.mark.parametrize("code", [0, 3])
def test_the_exit_code_is_kept_for_a_later_server(tmp_path: Path, code: int, dies_with_us: bool) -> None:
    launch(tmp_path, f"raise SystemExit({code})", dies_with_us=dies_with_us).wait(30)
    assert Process(tmp_path).exit_code() == code
    assert not Process(tmp_path).alive()


def test_a_second_process_in_the_same_folder_is_refused(tmp_path: Path) -> None:
    first = launch(tmp_path, PATIENT)
    with pytest.raises(RuntimeError, match="already runs"):
        launch(tmp_path, PATIENT)
    first.end(10)
    launch(tmp_path, "pass").wait(30)


def test_sigterm_is_delivered_and_the_exit_code_is_returned(tmp_path: Path) -> None:
    process = launch(tmp_path, PATIENT)
    await_output(process)
    stranger = Process(tmp_path)
    stranger.send(signal.SIGTERM)
    assert stranger.wait(30)
    assert stranger.exit_code() == 7


def test_a_process_that_ignores_sigterm_is_killed_after_the_grace_period(tmp_path: Path) -> None:
    deaf = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(60)"
    process = launch(tmp_path, deaf)
    await_output(process)
    process.end(0.3)
    assert not process.alive()


def test_a_stale_pid_file_does_not_kill_another_process(tmp_path: Path) -> None:
    bystander = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], start_new_session=True)
    (tmp_path / "pid").write_text(str(bystander.pid))
    (tmp_path / "lock").touch()
    Process(tmp_path).send(signal.SIGKILL)
    assert bystander.poll() is None
    bystander.kill()
    bystander.wait()


@pytest.mark.parametrize("dies_with_us", [False, True])
def test_a_process_ends_with_its_parent_only_if_requested(tmp_path: Path, dies_with_us: bool) -> None:
    parent = f"""
import os, sys
from pathlib import Path
from gtseg.local.jobs.processes import Process
process = Process(Path({str(tmp_path)!r}))
process.launch([sys.executable, "-c", {PATIENT!r}], dies_with_us={dies_with_us})
while not (process.output.exists() and process.output.stat().st_size): pass
os.kill(os.getpid(), 9)
"""
    assert subprocess.run([sys.executable, "-c", parent], check=False).returncode == -9
    child = Process(tmp_path)
    if dies_with_us:
        assert child.wait(30)
        assert child.exit_code() == 7
    else:
        assert child.alive()
        os.killpg(int((tmp_path / "pid").read_text()), signal.SIGKILL)
        assert child.wait(30)
        assert child.exit_code() is None, "killed with its shell: the exit code is unknown"


def test_a_low_priority_also_applies_between_sessions(tmp_path: Path) -> None:
    """With autogroup scheduling, nice values apply only within a session."""
    group = Path("/proc/self/autogroup")
    code = (
        f"import os, pathlib; print(os.nice(0), pathlib.Path({str(group)!r}).read_text() if {group.exists()} else '')"
    )
    process = Process(tmp_path)
    process.launch([sys.executable, "-c", code], niceness=19)
    assert process.wait(30)
    priority, _, session = process.output.read_text().partition(" ")
    assert int(priority) >= 19
    if session.strip():
        assert session.split()[-2:] == ["nice", "19"]
