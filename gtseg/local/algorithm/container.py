"""SageMaker's container, seen from inside: its folders, errors and SIGTERM."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# -------- errors ----------------------------------------------------------------------------------
#
# Why a job fails: what the user gave (ClientError) or what went wrong here (AlgorithmError).


class ClientError(Exception):
    """The data or the hyperparameters cannot be used; the message names them and the way out."""


class AlgorithmError(Exception):
    """The algorithm itself could not go on."""


class Stopped(BaseException):
    """SIGTERM: save and leave. A BaseException, so that no `except Exception` swallows it."""


# -------- folders ---------------------------------------------------------------------------------
#
# SageMaker's folders below one root (`/opt/ml` in a container).
#
#     input/config/{hyperparameters,inputdataconfig,resourceconfig}.json
#     input/data/<channel>/   train, train_annotation, validation, validation_annotation, label_map, model
#     model/                  hyperparams.json, model_best.params, model_algo-1
#     checkpoints/            the same job continues from here
#     output/failure          why it failed
#
# Augmented manifests (Pipe mode, RecordIO): whoever runs this container reads the manifest and lays every record down as
# a pair of files, `train/00000012.jpg` and `train_annotation/00000012.png`, the same for validation. From there on both
# modes are one.


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


# -------- interrupt -------------------------------------------------------------------------------
#
# SIGTERM: the host wants the job to save and leave. Installed before torch is imported: that alone takes seconds.


@dataclass
class Interrupt:
    """SIGTERM raises Stopped at once, except within `held()`: there it waits for the end of the block."""

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
    def deaf(self) -> Iterator[None]:
        """While the job saves itself after a first SIGTERM, a second one changes nothing."""
        self.holding += 1
        try:
            yield
        finally:
            self.holding -= 1


@contextmanager
def catch_sigterm() -> Iterator[Interrupt]:
    interrupt = Interrupt()
    before = signal.signal(signal.SIGTERM, interrupt.receive)
    try:
        yield interrupt
    finally:
        signal.signal(signal.SIGTERM, before)
