"""A project whose gtseg commands run in this process against a real server."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

import pytest
from corpus_project import Project, Result

from gtseg.aws.clients import Clients
from gtseg.aws.s3 import S3
from gtseg.cli import main


@pytest.fixture
def project(
    shared_aws: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Project:
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    for name, value in shared_aws.environment.items():
        if name.startswith("AWS_"):
            monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> Result:
        capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            main(list(arguments))
        output = capsys.readouterr()
        code = end.value.code
        return Result(code if isinstance(code, int) else int(bool(code)), output.out, output.err)

    project = Project(Clients(), tmp_path, f"bad-{uuid.uuid4().hex[:12]}", run)
    S3(project.clients).ensure_bucket(project.bucket)
    project.write_settings()
    return project
