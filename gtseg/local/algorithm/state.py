"""Initial weights, and the state that a job keeps between steps and in `checkpoints/`."""

from __future__ import annotations

import copy
import os
import queue
import tempfile
import threading
import time
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from gtseg.local.algorithm import log
from gtseg.local.algorithm.container import ClientError, Folders
from gtseg.local.algorithm.hyperparameters import Hyperparameters
from gtseg.local.algorithm.model import (
    HYPERPARAMETERS,
    Artifact,
    copy_atomically,
    read_artifact,
    write_atomically,
)
from gtseg.local.algorithm.networks.efficientnet import load_encoder
from gtseg.local.algorithm.recipe import Recipe
from gtseg.local.algorithm.untrusted.model_archive import BadArchive, unpack
from gtseg.local.algorithm.untrusted.weights import load_weights

# --- progress ---

CHECKPOINT = "checkpoint.pt"
EXTENDABLE = frozenset({"epochs", "num_training_samples", "early_stopping", "early_stopping_min_epochs"})
"""Hyperparameters that may differ between a checkpoint and the job that continues from it."""


@dataclass
class Progress:
    """Training progress without the weights. `t`: updates done; `epoch`: the current one, from 0."""

    t: int = 0
    epoch: int = 0
    loss_sum: float = 0.0
    """Over the batches of this epoch."""
    loss_count: int = 0
    best_miou: float = -1.0
    patience_miou: float = -1.0
    """The mIOU that early stopping compares with."""
    patience_used: int = 0
    spent: float = 0.0
    """Used seconds of the budget."""
    finished: bool = False


def copy_for_average(model: nn.Module) -> nn.Module:
    """Return a copy of the model for the exponential moving average, which generalizes better than the last weights."""
    average = copy.deepcopy(model).eval()
    return average.requires_grad_(False)


@torch.no_grad()
def blend(average: nn.Module, model: nn.Module, t: int, *, decay: float) -> None:
    """Update average <- decay * average + (1 - decay) * model, with a smaller decay at the beginning."""
    keep = min(decay, (1 + t) / (10 + t))
    torch._foreach_lerp_(list(average.parameters()), list(model.parameters()), 1 - keep)
    for ours, theirs in zip(average.buffers(), model.buffers(), strict=True):
        if ours.is_floating_point():
            ours.lerp_(theirs, 1 - keep)
        else:
            ours.copy_(theirs)


def early_stop(p: Progress, miou: float, h: Hyperparameters) -> bool:
    """Return True if `patience` consecutive epochs had no relative gain above `tolerance`, after `min_epochs`."""
    if miou > p.patience_miou * (1 + h.early_stopping_tolerance):
        p.patience_miou, p.patience_used = miou, 0
    else:
        p.patience_used += 1
    return (
        h.early_stopping and p.epoch + 1 >= h.early_stopping_min_epochs and p.patience_used >= h.early_stopping_patience
    )


# --- checkpoints ---


@dataclass
class Trained:
    """Model, average and optimizers of a job."""

    model: nn.Module
    average: nn.Module | None
    optimizers: list[torch.optim.Optimizer]

    @property
    def evaluated_model(self) -> nn.Module:
        """The network that is validated and served."""
        return self.average if self.average is not None else self.model


def save(folder: Path, trained: Trained, progress: Progress, configuration: Mapping[str, str]) -> None:
    content = {
        "configuration": dict(configuration),
        "progress": vars(progress),
        "model": trained.model.state_dict(),
        "average": trained.average.state_dict() if trained.average is not None else None,
        "optimizers": [optimizer.state_dict() for optimizer in trained.optimizers],
    }
    write_atomically(folder / CHECKPOINT, content)


def copy_best_weights(folders: Folders, name: str) -> None:
    """Copy the best weights to the checkpoints, because a job that continues elsewhere starts with an empty model/."""
    if (folders.model / name).exists():
        copy_atomically(folders.model / name, folders.checkpoints / name)


def restore_best_weights(folders: Folders, name: str) -> None:
    """Copy the best weights of a checkpoint to model/ if it has none."""
    if (folders.checkpoints / name).exists() and not (folders.model / name).exists():
        copy_atomically(folders.checkpoints / name, folders.model / name)


def _read_configuration(folder: Path) -> dict[str, str] | None:
    """Return the configuration of the folder's checkpoint; None if there is no readable one."""
    path = folder / CHECKPOINT
    if not path.exists():
        return None
    try:
        content = load_weights(path)
        return {str(k): str(v) for k, v in content["configuration"].items()}
    except Exception:
        return None  # restore() logs the reason


def restore(folder: Path, trained: Trained, configuration: Mapping[str, str]) -> Progress | None:
    """Restore `trained` from the folder's checkpoint; None if there is none, or it belongs to another job."""
    path = folder / CHECKPOINT
    if not path.exists():
        return None
    try:
        content = load_weights(path)
        theirs, ours = (
            {k: v for k, v in c.items() if k not in EXTENDABLE} for c in (content["configuration"], configuration)
        )
        if theirs != ours:
            changed = sorted(k for k in theirs.keys() | ours.keys() if theirs.get(k) != ours.get(k))
            log.warn(f"{path} belongs to a job with other hyperparameters ({', '.join(changed)}): starting over")
            return None
        trained.model.load_state_dict(content["model"])
        if trained.average is not None:
            trained.average.load_state_dict(content["average"])
        for optimizer, state in zip(trained.optimizers, content["optimizers"], strict=True):
            optimizer.load_state_dict(state)
        return Progress(**content["progress"])
    except Exception as error:
        log.warn(f"{path} cannot be read ({type(error).__name__}: {error}): starting over")
        return None


# --- initial weights ---
IMAGENET = {"resnet-50": "resnet50-0676ba61.pth", "resnet-101": "resnet101-63fe2227.pth"}
"""torchvision's ImageNet weights; their parameter names are those of `dilated.DilatedResNet`."""
DOWNLOAD = "https://download.pytorch.org/models/"
WEIGHTS_ENV = "GTSEG_IMAGENET_WEIGHTS"
"""For the ResNets: a .pth file, a folder with the files of IMAGENET, or "download"; "off": no ImageNet weights."""
DOWNLOAD_WORD, OFF = "download", "off"
PATIENCE = 5.0
"""Seconds without data, and seconds after which a download that is too slow is aborted."""


def start_weights(model: nn.Module, folders: Folders, h: Hyperparameters, r: Recipe) -> None:
    """Initialize `model` in place. Raises ClientError if the `model` channel is not a matching model."""
    if folders.has_channel("model"):
        continue_from(model, folders, h, r)
    elif r.network == "efficientnet-lite0":
        load_encoder(model.encoder)  # type: ignore[arg-type]
        log.info("Starting from EfficientNet-Lite0 with ImageNet weights, which ship with the algorithm.")
    elif wants_imagenet(h, r):
        load_imagenet(model.backbone, h.backbone)  # type: ignore[arg-type]


def earlier_network(folders: Folders) -> str | None:
    """Return the network of the checkpoint or of the `model` channel, from which this job continues; None for a new
    start.
    """
    checkpoint = _read_configuration(folders.checkpoints)
    if checkpoint is not None:
        return checkpoint.get("_network")
    if folders.has_channel("model"):
        return open_model_channel(folders.channel("model")).settings.get("_network")
    return None


def wants_imagenet(h: Hyperparameters, r: Recipe) -> bool:
    return r.network == "dilated" and h.use_pretrained_model and may_use_imagenet()


def may_use_imagenet() -> bool:
    """Return False if GTSEG_IMAGENET_WEIGHTS=off: jobs then start from random weights."""
    return os.environ.get(WEIGHTS_ENV) != OFF


# --- incremental training ---


def continue_from(model: nn.Module, folders: Folders, h: Hyperparameters, r: Recipe) -> None:
    artifact = open_model_channel(folders.channel("model"))
    ours = {
        "backbone": h.backbone,
        "algorithm": h.algorithm,
        "crop_size": str(r.crop_size),
        "num_classes": str(h.num_classes),
        "_network": r.network,
    }
    if r.network != "dilated" and "crop_size" not in h.given:
        del ours["crop_size"]  # chosen for the pictures of each job
    for name, value in ours.items():
        theirs = artifact.settings.get("_crop_size" if name == "crop_size" else name)
        if theirs != value:
            raise ClientError(
                f"incremental training: the model in channel 'model' was trained with {name.lstrip('_')} {theirs}, "
                f"this job has {value}; backbone, algorithm, crop_size and num_classes must agree"
            )
    model.load_state_dict(artifact.weights)
    log.info("Continuing from the model in channel 'model'.")


def open_model_channel(folder: Path) -> Artifact:
    """Read the `model` channel: a model.tar.gz or its three files. Raises ClientError."""
    if (folder / HYPERPARAMETERS).is_file():
        return read_artifact(folder)
    archives = sorted(folder.glob("*.tar.gz"))
    if len(archives) != 1:
        raise ClientError(f"channel 'model' must have one model.tar.gz or its files, but has {len(archives)} archives")
    with tempfile.TemporaryDirectory() as scratch:
        try:
            unpack(archives[0], Path(scratch))
        except (BadArchive, OSError) as error:
            raise ClientError(f"{archives[0]} cannot be extracted: {error}") from None
        artifact = read_artifact(Path(scratch))
        return Artifact(artifact.settings, {k: v.clone() for k, v in artifact.weights.items()})


# --- ImageNet weights ---


def load_imagenet(backbone: nn.Module, name: str) -> None:
    """Load ImageNet weights if available; the log says where they came from, or why there are none."""
    try:
        path = _find_imagenet(IMAGENET[name])
        weights = torch.load(path, map_location="cpu", weights_only=True)
        weights = {k: v for k, v in weights.items() if not k.startswith("fc.")}
        weights["conv1.weight"] = weights["conv1.weight"].flip(1)  # RGB weights, BGR images of OpenCV
        backbone.load_state_dict(weights)
        log.info(f"Loaded ImageNet weights for {name} from {path}")
    except Exception as error:
        log.warn(
            f"No ImageNet weights for {name} ({type(error).__name__}: {error}): the backbone starts from random "
            f"weights. Set {WEIGHTS_ENV} to a folder that holds {IMAGENET[name]}, or to {DOWNLOAD_WORD!r}"
        )


def _find_imagenet(file_name: str) -> Path:
    """Return the environment's file, else that of PyTorch's cache; downloads only if the user requested it."""
    given = os.environ.get(WEIGHTS_ENV, "")
    if given and given != DOWNLOAD_WORD:
        return Path(given) / file_name if Path(given).is_dir() else Path(given)
    cache = Path(torch.hub.get_dir()) / "checkpoints" / file_name
    if cache.exists() or given == DOWNLOAD_WORD:
        return cache if cache.exists() else download(DOWNLOAD + file_name, cache)
    raise FileNotFoundError(f"{cache} does not exist, and nothing is downloaded unless {WEIGHTS_ENV}={DOWNLOAD_WORD}")


def _open_url(url: str) -> Any:
    """Open a URL with a time limit that includes name resolution, which has none of its own."""
    opened: queue.Queue[Any] = queue.Queue()

    def ask() -> None:
        try:
            opened.put(urllib.request.urlopen(url, timeout=PATIENCE))
        except Exception as error:
            opened.put(error)

    threading.Thread(target=ask, daemon=True).start()
    try:
        answer = opened.get(timeout=PATIENCE)
    except queue.Empty:
        raise TimeoutError(f"{url}: no response within {PATIENCE:g} s") from None
    if isinstance(answer, Exception):
        raise answer
    return answer


def download(url: str, target: Path) -> Path:
    """Download a file; abort after 5 s without a response, or if after 5 s the estimate exceeds two minutes."""
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f"{target.name}.{os.getpid()}.part")
    started = time.monotonic()
    try:
        with _open_url(url) as answer, part.open("wb") as out:
            size, done = int(answer.headers.get("Content-Length") or 0), 0
            while chunk := answer.read(1 << 18):
                done += out.write(chunk)
                elapsed = time.monotonic() - started
                if elapsed > PATIENCE and elapsed * size > 120 * done:
                    raise TimeoutError(f"{done} of {size} bytes of {url} in {elapsed:.0f} s")
        if size and done != size:
            raise OSError(f"{url} ended after {done} of {size} bytes")
        os.replace(part, target)
    finally:
        part.unlink(missing_ok=True)
    return target
