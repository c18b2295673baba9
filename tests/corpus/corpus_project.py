"""A project folder with a bucket, and the result of a command."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from gtseg.aws.clients import Clients
from gtseg.aws.s3 import S3


@dataclass
class Result:
    """Exit code, stdout and stderr of a command. `lines`: the error messages in stderr."""

    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        return [line for line in self.err.splitlines() if line.startswith("gtseg: ")]


@dataclass
class Project:
    """Project folder with its bucket."""

    clients: Clients
    folder: Path
    bucket: str
    run: Callable[..., Result]
    """Runs `gtseg` with the given arguments in this process."""

    def put(self, key: str, body: bytes) -> str:
        S3(self.clients).write(f"s3://{self.bucket}/{key}", body)
        return f"s3://{self.bucket}/{key}"

    def keys(self, prefix: str = "") -> list[str]:
        return [item.key for item in S3(self.clients).list_objects(f"s3://{self.bucket}/{prefix}")]

    def write_settings(self, text: str = "") -> None:
        head = f'[project]\nname = "bad"\nbucket = "{self.bucket}"\n'
        (self.folder / "gtseg.toml").write_text(head + text)
