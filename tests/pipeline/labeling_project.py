"""Project folder with gtseg.toml and images, and its run in a bucket."""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from gtseg.aws.clients import Clients
from gtseg.aws.s3 import S3
from gtseg.pipeline.run import Context, Run, RunFile, locate
from gtseg.pipeline.run.events import Event
from gtseg.pipeline.stages.label import label
from gtseg.settings import Settings, load


def point_at(server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Give this process the environment that `gtseg local exec` gives a command."""
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    for name, value in server.environment.items():
        if name.startswith("AWS_"):
            monkeypatch.setenv(name, value)


def write_image(
    path: Path, *, size: tuple[int, int] = (32, 24), color: int = 0, kind: str | None = None, **options: Any
) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(options.pop("mode", "RGB"), size, color).save(path, kind, **options)


def as_toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {json.dumps(item)}" for key, item in value.items()) + " }"
    return json.dumps(value)


class Project:
    """Folder with gtseg.toml, and its run in a bucket."""

    def __init__(self, folder: Path, clients: Clients) -> None:
        self.folder, self.clients = folder, clients
        self.name = f"run-{uuid.uuid4().hex[:8]}"
        self.values: dict[str, dict[str, Any]] = {
            "project": {"name": self.name, "bucket": f"test-{self.name}", "create_bucket": True},
            "images": {"source": "images"},
            "labeling": {"labels": ["cat"]},
        }
        self.events: list[Event] = []

    def image(self, name: str, **options: Any) -> Path:
        write_image(self.folder / "images" / name, **options)
        return self.folder / "images" / name

    def set(self, table: str, **values: Any) -> None:
        self.values[table] = self.values.get(table, {}) | values

    @property
    def settings(self) -> Settings:
        text = "".join(
            f"[{table}]\n" + "".join(f"{key} = {as_toml(value)}\n" for key, value in values.items())
            for table, values in self.values.items()
        )
        (self.folder / "gtseg.toml").write_text(text)
        return load(self.folder / "gtseg.toml", environ={})

    @property
    def run_file(self) -> RunFile:
        return RunFile(self.clients, locate(self.settings, self.clients))

    @property
    def run(self) -> Run:
        return self.run_file.load()

    def context(self, **options: Any) -> Context:
        """Return the context of a command of this project."""
        given = {"settings": self.settings, "clients": self.clients, "notify": self.events.append}
        return Context(**(given | options))

    def label(self, **options: Any) -> Run:
        """Run the label stage on the stored run and save the result."""
        run = label(self.run, self.context(**options))
        return run if options.get("dry_run") else self.run_file.save(run)

    def messages(self, kind: str = "") -> str:
        return "\n".join(event.message for event in self.events if not kind or event.kind == kind)

    def written(self) -> list[str]:
        """Return the keys of the run's bucket relative to the run, without those that the job writes."""
        found = S3(self.clients).list_objects(f"s3://test-{self.name}/")
        keys = [item.key.removeprefix(f"{self.name}/") for item in found]
        return [key for key in keys if "/manifests/" not in key and "/annotations/" not in key]
