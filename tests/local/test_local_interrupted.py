"""Ctrl-C during a command: one line, exit code 130, no processes left."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

INTERRUPT = """
import os, signal, sys
class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == os.environ["INTERRUPTED_AT"]:
            sys.meta_path.remove(self)
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Finder())
"""
INSTANTS = (
    "gtseg.cli.lazy",
    "typer",
    "gtseg.local.cli",
    "gtseg.local.server",
    "uvicorn",
    "gtseg.local.labeling.engine",
)


@pytest.mark.parametrize("module", INSTANTS)
def test_an_interrupt_during_imports_prints_one_line(tmp_path: Path, module: str) -> None:
    (tmp_path / "sitecustomize.py").write_text(INTERRUPT)
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    command = [sys.executable, "-m", "gtseg", "local", "up", "--data", str(tmp_path / "aws"), "--port", "0"]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "PYTHONPATH": path, "INTERRUPTED_AT": module},
    )
    assert (done.returncode, done.stdout) == (130, ""), done.stderr
    assert done.stderr.startswith("gtseg: Interrupted")
    assert done.stderr.count("\n") == 1


def test_an_interrupt_while_exec_starts_its_server_leaves_no_process(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "gtseg", "local", "exec", "--data", str(tmp_path / "aws"), "--", "true"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True)
    while not (tmp_path / "aws" / "server.log").exists():
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode in (0, 130)  # 0: the command had been run by then
    assert "Traceback" not in said
    assert not (tmp_path / "aws" / "server.json").exists()


def test_a_port_in_use_is_named_with_a_fix(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        command = [
            sys.executable,
            "-m",
            "gtseg",
            "local",
            "up",
            "--data",
            str(tmp_path / "aws"),
            "--port",
            str(port),
        ]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        f"gtseg: port {port} of 127.0.0.1 is in use by another program. "
        "Choose another port with --port (0: any free port).\n"
    )
