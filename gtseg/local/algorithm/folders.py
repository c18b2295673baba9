"""SageMaker's folders below one root (`/opt/ml` in a container).

    input/config/{hyperparameters,inputdataconfig,resourceconfig}.json
    input/data/<channel>/   train, train_annotation, validation, validation_annotation, label_map, model
    model/                  hyperparams.json, model_best.params, model_algo-1
    checkpoints/            the same job continues from here
    output/failure          why it failed

Augmented manifests (Pipe mode, RecordIO): whoever runs this container reads the manifest and lays every record down as
a pair of files, `train/00000012.jpg` and `train_annotation/00000012.png`, the same for validation. From there on both
modes are one.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gtseg.local.algorithm.errors import ClientError


@dataclass(frozen=True)
class Folders:
    root: Path

    @property
    def config(self) -> Path:
        return self.root / "input" / "config"

    @property
    def model(self) -> Path:
        return self.root / "model"

    @property
    def checkpoints(self) -> Path:
        return self.root / "checkpoints"

    @property
    def failure(self) -> Path:
        return self.root / "output" / "failure"

    def channel(self, name: str) -> Path:
        return self.root / "input" / "data" / name

    def has_channel(self, name: str) -> bool:
        return self.channel(name).is_dir() and any(self.channel(name).iterdir())

    def write_failure(self, reason: str) -> None:
        self.failure.parent.mkdir(parents=True, exist_ok=True)
        self.failure.write_text(reason[:1024], encoding="utf-8")

    def read_config(self, name: str) -> dict[str, Any]:
        """One JSON object of `input/config`; {} where there is no such file."""
        path = self.config / name
        if not path.exists():
            return {}
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise ClientError(f"{path} is not JSON: {error}") from error
        if not isinstance(content, dict):
            raise ClientError(f"{path} must hold a JSON object, not {type(content).__name__}")
        return content
