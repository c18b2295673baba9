"""Hyperparameters of the built-in algorithm: validation of a job's strings.

Names, ranges and defaults: SageMaker developer guide, "Semantic Segmentation Hyperparameters"; `precision_dtype` and
the defaults that begin with `_` are only in the container's default-input.json, as its log prints it. Errors have the
wording of the JSON schema messages that AWS shows.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any

from gtseg.local.algorithm.container import ClientError

ALGORITHMS = ("fcn", "psp", "deeplab")
BACKBONES = ("resnet-50", "resnet-101")
OPTIMIZERS = ("adam", "adagrad", "nag", "rmsprop", "sgd")
SCHEDULERS = ("poly", "step", "cosine")

DEFAULTS: dict[str, str] = {
    "algorithm": "fcn",
    "backbone": "resnet-50",
    "use_pretrained_model": "True",
    "base_size": "520",
    "crop_size": "240",
    "mini_batch_size": "16",
    "validation_mini_batch_size": "16",
    "epochs": "10",
    "early_stopping": "False",
    "early_stopping_min_epochs": "5",
    "early_stopping_patience": "4",
    "early_stopping_tolerance": "0.0",
    "optimizer": "sgd",
    "learning_rate": "0.001",
    "lr_scheduler": "poly",
    "lr_scheduler_factor": "0.1",
    "momentum": "0.9",
    "weight_decay": "0.0001",
    "gamma1": "0.9",
    "gamma2": "0.9",
    "syncbn": "False",
    "precision_dtype": "float32",
    "_aux_loss": "True",
    "_aux_weight": "0.5",
    "_workers": "16",
    "_hybrid": "False",
    "_augmentation_type": "default",
    "_logging_frequency": "20",
    "_kvstore": "device",
    "_num_kv_servers": "auto",
}
"""Defaults that the container uses for hyperparameters that a job omits."""


@dataclass(frozen=True)
class Hyperparameters:
    """Hyperparameters of a job. `given`: the names that the user set; the rest are the container's defaults."""

    num_classes: int
    num_training_samples: int
    algorithm: str
    backbone: str
    use_pretrained_model: bool
    base_size: int
    crop_size: int
    """A multiple of 8."""
    mini_batch_size: int
    validation_mini_batch_size: int
    epochs: int
    early_stopping: bool
    early_stopping_min_epochs: int
    early_stopping_patience: int
    early_stopping_tolerance: float
    optimizer: str
    learning_rate: float
    lr_scheduler: str
    lr_scheduler_factor: float
    lr_scheduler_step: tuple[int, ...]
    """Epochs at which the rate is multiplied by lr_scheduler_factor ("step" only)."""
    momentum: float
    weight_decay: float
    gamma1: float
    gamma2: float
    syncbn: bool
    precision_dtype: str
    given: frozenset[str]


Reader = Callable[[str], Any]


def integer(low: int, high: int | None = None) -> Reader:
    """Return a reader of an integer in [low, high]; the reader raises ValueError."""

    def read(text: str) -> int:
        try:
            value = int(text.strip())
        except ValueError:
            raise ValueError(f"{text!r} is not of type 'integer'") from None
        if value < low:
            raise ValueError(f"{value} is less than the minimum of {low}")
        if high is not None and value > high:
            raise ValueError(f"{value} is greater than the maximum of {high}")
        return value

    return read


def number(low: float, high: float, *, open_low: bool = False, open_high: bool = False) -> Reader:
    """Return a reader of a finite number from low to high, each bound optionally excluded.

    The reader raises ValueError.
    """

    def read(text: str) -> float:
        try:
            value = float(text.strip())
        except ValueError:
            raise ValueError(f"{text!r} is not of type 'number'") from None
        if not math.isfinite(value):
            raise ValueError(f"{text!r} is not a finite number")
        if value < low or (open_low and value == low):
            raise ValueError(f"{value} is less than {'or equal to ' * open_low}the minimum of {low}")
        if value > high or (open_high and value == high):
            raise ValueError(f"{value} is greater than {'or equal to ' * open_high}the maximum of {high}")
        return value

    return read


def choice(*options: str) -> Reader:
    """Return a reader of one of `options`; the reader raises ValueError."""

    def read(text: str) -> str:
        if text not in options:
            raise ValueError(f"{text!r} is not one of {list(options)}")
        return text

    return read


def boolean(text: str) -> bool:
    if text.strip().lower() not in ("true", "false"):
        raise ValueError(f"{text!r} is not one of ['True', 'False']")
    return text.strip().lower() == "true"


def _epochs_list(text: str) -> tuple[int, ...]:
    """Parse `"10, 20"` to (10, 20), sorted. Raises ValueError."""
    read = integer(1)
    return tuple(sorted({read(part) for part in text.split(",")}))


READERS: dict[str, Reader] = {
    "num_classes": integer(2, 254),
    "num_training_samples": integer(1),
    "algorithm": choice(*ALGORITHMS),
    "backbone": choice(*BACKBONES),
    "use_pretrained_model": boolean,
    "base_size": integer(17),
    "crop_size": integer(17),
    "mini_batch_size": integer(1),
    "validation_mini_batch_size": integer(1),
    "epochs": integer(1),
    "early_stopping": boolean,
    "early_stopping_min_epochs": integer(0),
    "early_stopping_patience": integer(1),
    "early_stopping_tolerance": number(0, 1),
    "optimizer": choice(*OPTIMIZERS),
    "learning_rate": number(0, 1, open_low=True),
    "lr_scheduler": choice(*SCHEDULERS),
    "lr_scheduler_factor": number(0, 1),
    "lr_scheduler_step": _epochs_list,
    "momentum": number(0, 1, open_low=True),
    "weight_decay": number(0, 1, open_low=True, open_high=True),
    "gamma1": number(0, 1),
    "gamma2": number(0, 1),
    "syncbn": boolean,
    "precision_dtype": choice("float32", "float16"),
}


def parse(provided: Mapping[str, Any]) -> Hyperparameters:
    """Parse a job's hyperparameters.json. Raises ClientError for unknown, missing or invalid ones."""
    unknown = sorted(set(provided) - set(READERS))
    if unknown:
        names = ", ".join(repr(name) for name in unknown)
        were = "was" if len(unknown) == 1 else "were"
        raise ClientError(
            f"Unable to initialize the algorithm. Failed to validate input data configuration: "
            f"Additional properties are not allowed ({names} {were} unexpected)"
        )
    for name in ("num_classes", "num_training_samples"):
        if name not in provided:
            raise ClientError(f"Unable to initialize the algorithm. {name!r} is a required property")
    values = {name: _read_one(name, text) for name, text in merge(provided).items() if name in READERS}
    if values["lr_scheduler"] == "step" and "lr_scheduler_step" not in provided:
        raise ClientError("'lr_scheduler_step' is a required property when lr_scheduler is 'step', e.g. \"10,20\"")
    values.setdefault("lr_scheduler_step", ())
    values["crop_size"] = -(-values["crop_size"] // 8) * 8
    return Hyperparameters(**values, given=frozenset(provided))


def _read_one(name: str, value: Any) -> Any:
    if not isinstance(value, str):
        raise ClientError(f"hyperparameter {name!r}: {value!r} is not of type 'string'")
    try:
        return READERS[name](value)
    except ValueError as error:
        raise ClientError(f"Unable to initialize the algorithm. Hyperparameter {name!r}: {error}") from None


def merge(provided: Mapping[str, Any]) -> dict[str, Any]:
    """Return the container's "Final configuration": its defaults, overridden by the job's values; all strings."""
    return {**DEFAULTS, **provided}


def names() -> tuple[str, ...]:
    return tuple(field.name for field in fields(Hyperparameters) if field.name != "given")
