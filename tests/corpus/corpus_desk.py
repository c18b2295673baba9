"""A bucket, a project folder, and how a command ended."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from gtseg.aws.clients import Clients
from gtseg.aws.s3 import S3


@dataclass
class Said:
    """How a command ended. `lines`: what it printed as an error, one by one."""

    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        return [line for line in self.err.splitlines() if line.startswith("gtseg: ")]


@dataclass
class Desk:
    """One bucket and one project folder."""

    clients: Clients
    folder: Path
    bucket: str
    ask: Callable[..., Said]

    def put(self, key: str, body: bytes) -> str:
        S3(self.clients).write(f"s3://{self.bucket}/{key}", body)
        return f"s3://{self.bucket}/{key}"

    def keys(self, prefix: str = "") -> list[str]:
        return [item.key for item in S3(self.clients).list_objects(f"s3://{self.bucket}/{prefix}")]

    def write_settings(self, text: str = "") -> None:
        head = f'[project]\nname = "bad"\nbucket = "{self.bucket}"\n'
        (self.folder / "gtseg.toml").write_text(head + text)
