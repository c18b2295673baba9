"""Clients of an embedded AWS in another process."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from labeling_project import Project, point_at

from gtseg.aws.clients import Clients
from gtseg.cli import main

Gtseg = Callable[..., tuple[int, str, str]]


@pytest.fixture
def clients(shared_aws: Any, monkeypatch: pytest.MonkeyPatch) -> Clients:
    point_at(shared_aws, monkeypatch)
    return Clients()


@pytest.fixture
def bucket(clients: Clients) -> str:
    """Create a bucket for the test."""
    name = f"test-{uuid.uuid4().hex[:12]}"
    clients.s3.create_bucket(Bucket=name)
    return name


@pytest.fixture
def project(clients: Clients, tmp_path: Path) -> Project:
    return Project(tmp_path, clients)


@pytest.fixture
def gtseg(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Gtseg:
    """Run `gtseg` in this process and in a folder: `gtseg(folder, "compare", "a")` -> (exit code, stdout, stderr)."""

    def run(folder: Path, *words: object) -> tuple[int, str, str]:
        monkeypatch.chdir(folder)
        capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            main([str(word) for word in words])
        return int(end.value.code or 0), *capsys.readouterr()

    return run
