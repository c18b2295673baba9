"""The command itself, in this process: its exit code and what it said."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

import pytest
from corpus_desk import Desk, Said

from gtseg.aws.clients import Clients
from gtseg.aws.s3 import S3
from gtseg.cli import main


@pytest.fixture
def desk(shared_aws: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Desk:
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    for name, value in shared_aws.environment.items():
        if name.startswith("AWS_"):
            monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)

    def ask(*words: str) -> Said:
        capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            main(list(words))
        said = capsys.readouterr()
        code = end.value.code
        return Said(code if isinstance(code, int) else int(bool(code)), said.out, said.err)

    desk = Desk(Clients(), tmp_path, f"bad-{uuid.uuid4().hex[:12]}", ask)
    S3(desk.clients).ensure_bucket(desk.bucket)
    desk.write_settings()
    return desk
