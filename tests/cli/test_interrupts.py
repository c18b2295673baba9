"""Ctrl-C is one line and exit code 130 at any instant, also while modules are being imported."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

STRIKE = """
import os, signal, sys
class Striker:
    def find_spec(self, name, path=None, target=None):
        if name == os.environ["STRIKE"]:
            sys.meta_path.remove(self)
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Striker())
"""
MODULES = (
    "gtseg.cli",
    "typer",
    "gtseg.cli.run",
    "pydantic",
    "gtseg.aws.clients",
    "botocore.session",
    "numpy",
)


@pytest.mark.parametrize("module", MODULES)
def test_ctrl_c_during_an_import_is_one_line(tmp_path: Path, module: str) -> None:
    (tmp_path / "sitecustomize.py").write_text(STRIKE)
    (tmp_path / "gtseg.toml").write_text('[project]\nname = "p"\n')
    environ = {
        **os.environ,
        "PYTHONPATH": f"{tmp_path}{os.pathsep}{Path(__file__).parents[2]}",
        "STRIKE": module,
        "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
        "AWS_ACCESS_KEY_ID": "a",
        "AWS_SECRET_ACCESS_KEY": "b",
    }
    words = ["evaluate", "--predictions", "a", "--masks", "b", "--labels", "c"] if module == "numpy" else ["status"]
    done = subprocess.run(
        [sys.executable, "-m", "gtseg", *words], cwd=tmp_path, env=environ, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout) == (130, ""), done.stderr
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("gtseg: Interrupted")
