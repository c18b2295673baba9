"""SageMaker's container contract: folders, errors and SIGTERM."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# --- errors ---


class ClientError(Exception):
    """The data or the hyperparameters cannot be used; the message names them and what to do."""


class AlgorithmError(Exception):
    """The algorithm failed for a reason other than its input."""


class Stopped(BaseException):
    """SIGTERM was received: save and exit. A BaseException, so that no `except Exception` catches it."""


# --- folders ---


@dataclass(frozen=True)
class Folders:
    """SageMaker's folders below one root (`/opt/ml` in a container).

        input/config/{hyperparameters,inputdataconfig,resourceconfig}.json
        input/data/<channel>/   train, train_annotation, validation, validation_annotation, label_map, model
        model/                  hyperparams.json, model_best.params, model_algo-1
        checkpoints/            resume from here
        output/failure          reason of a failure

    Augmented manifests (Pipe mode, RecordIO): the server that runs this container writes every record of the manifest
    as a pair of files, `train/00000012.jpg` and `train_annotation/00000012.png`, and the same for validation, so that
    both modes are read alike.
    """

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
        """Return a JSON object of `input/config`; {} if the file does not exist. Raises ClientError."""
        path = self.config / name
        if not path.exists():
            return {}
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise ClientError(f"{path} is not JSON: {error}") from error
        if not isinstance(content, dict):
            raise ClientError(f"{path} must be a JSON object, not {type(content).__name__}")
        return content


# --- interrupt ---


@dataclass
class Interrupt:
    """SIGTERM handler: raises Stopped at once, or at the end of a `held()` block."""

    holding: int = 0
    pending: bool = False

    def receive(self, *_: Any) -> None:
        self.pending = True
        if not self.holding:
            raise Stopped

    @contextmanager
    def held(self) -> Iterator[None]:
        self.holding += 1
        try:
            yield
        finally:
            self.holding -= 1
        if self.pending and not self.holding:
            raise Stopped

    @contextmanager
    def ignored(self) -> Iterator[None]:
        """Ignore a further SIGTERM while the job saves after the first one."""
        self.holding += 1
        try:
            yield
        finally:
            self.holding -= 1


@contextmanager
def catch_sigterm() -> Iterator[Interrupt]:
    """Install the SIGTERM handler; done before torch is imported, which takes seconds."""
    interrupt = Interrupt()
    before = signal.signal(signal.SIGTERM, interrupt.receive)
    try:
        yield interrupt
    finally:
        signal.signal(signal.SIGTERM, before)
