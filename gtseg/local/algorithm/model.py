"""The network that a job trains, and the three files of its model.tar.gz."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from gtseg.local.algorithm.compact import CompactNetwork
from gtseg.local.algorithm.container import ClientError
from gtseg.local.algorithm.dilated import DilatedNetwork
from gtseg.local.algorithm.efficientnet import PretrainedNetwork
from gtseg.local.algorithm.precision import half_dtype
from gtseg.local.algorithm.weights import BadWeights, load_weights

HYPERPARAMETERS, BEST, LAST = "hyperparams.json", "model_best.params", "model_algo-1"
SIZES = {"num_classes": (2, 254), "_inference_size": (1, 10_000)}


def build(network: str, *, algorithm: str, backbone: str, num_classes: int, syncbn: bool = False) -> nn.Module:
    """`network`: "efficientnet-lite0", "compact" or "dilated". On one device `syncbn` sees the whole batch as it is: the same numbers."""
    if network == "efficientnet-lite0":
        model: nn.Module = PretrainedNetwork(algorithm, num_classes)
    elif network == "compact":
        model = CompactNetwork(algorithm, num_classes)
    else:
        model = DilatedNetwork(algorithm, backbone, num_classes)
    if not syncbn:
        return model
    converted: nn.Module = nn.SyncBatchNorm.convert_sync_batchnorm(model)  # type: ignore[no-untyped-call]
    return converted


def probabilities(model: nn.Module, x: torch.Tensor, *, half: bool = False, mirror: bool = False) -> torch.Tensor:
    """(B, 3, h, w) normalised -> (B, C, h', w') float32: at the network's own output size.

    `mirror`: the mean with what the network says of the mirrored picture: on the cats 0.008 to 0.011 mIOU more, for half
    as much time again on a network as small as the compact ones.
    """
    if mirror:
        both = probabilities(model, torch.cat([x, x.flip(3)]), half=half)
        return (both[: len(x)] + both[len(x) :].flip(3)) / 2
    with torch.inference_mode(), torch.autocast(x.device.type, enabled=half, dtype=half_dtype(x.device)):
        logits = model(x)[0]
    return F.softmax(logits.float(), 1)


# --------------------------------------------------------------------------------------------- the artifact


@dataclass(frozen=True)
class Artifact:
    """What an earlier job left: `settings` is hyperparams.json, all strings; names with `_` are ours."""

    settings: dict[str, str]
    weights: dict[str, torch.Tensor]


def write_atomically(path: Path, content: Any) -> None:
    """torch.save under the final name only when complete."""
    with _part_of(path) as part:
        torch.save(content, part)


def copy_atomically(source: Path, target: Path) -> None:
    with _part_of(target) as part:
        shutil.copyfile(source, part)


def write_settings(folder: Path, settings: Mapping[str, str]) -> None:
    with _part_of(folder / HYPERPARAMETERS) as part:
        part.write_text(json.dumps(settings, indent=1, sort_keys=True), encoding="utf-8")


@contextmanager
def _part_of(path: Path) -> Iterator[Path]:
    """A file to write, which gets its name when it is complete. The dot tells the host to leave it alone until then."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    yield part
    os.replace(part, path)


def read_artifact(folder: Path) -> Artifact:
    """An extracted model.tar.gz. Raises ClientError: incomplete, or not one of this algorithm's."""
    missing = [name for name in (HYPERPARAMETERS, BEST) if not (folder / name).is_file()]
    if missing:
        raise ClientError(f"{folder} is not a model of this algorithm: it has no {' and no '.join(missing)}")
    try:
        settings = json.loads((folder / HYPERPARAMETERS).read_text(encoding="utf-8"))
    except ValueError:
        raise ClientError(f"{folder / HYPERPARAMETERS} cannot be read: it is not JSON in UTF-8") from None
    try:
        weights = load_weights(folder / BEST)
    except BadWeights as error:
        raise ClientError(
            f"{folder / BEST} cannot be loaded: it {error}. Models that the built-in algorithm trained "
            "on AWS hold MXNet parameters; only models trained by this algorithm can be loaded here"
        ) from None
    if "_network" not in settings or "_inference_size" not in settings:
        raise ClientError(
            f"{folder / HYPERPARAMETERS} does not say which network it describes (_network, _inference_size)"
        )
    _check_settings(folder, settings)
    return Artifact(settings, weights)


def _check_settings(folder: Path, settings: Mapping[str, str]) -> None:
    """The sizes that the network is built with. Raises ClientError."""
    for name, (least, most) in SIZES.items():
        text = str(settings.get(name, ""))
        if not text.isdecimal() or not least <= int(text) <= most:
            raise ClientError(f"{folder / HYPERPARAMETERS}: {name} is {text[:40]!r}; want {least} to {most}")


def load_network(folder: Path) -> tuple[nn.Module, dict[str, str]]:
    """The trained network in evaluation mode, and its settings."""
    artifact = read_artifact(folder)
    s = artifact.settings
    model = build(s["_network"], algorithm=s["algorithm"], backbone=s["backbone"], num_classes=int(s["num_classes"]))
    try:
        model.load_state_dict(artifact.weights)
    except RuntimeError as error:
        raise ClientError(f"{folder / BEST} does not fit {s['_network']} {s['algorithm']}: {error}") from None
    return model.eval().to(memory_format=torch.channels_last), s  # type: ignore[call-overload]
