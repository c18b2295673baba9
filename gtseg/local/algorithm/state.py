"""Where weights come from before the first step, and what a job carries from step to step and through `checkpoints/`."""

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
from gtseg.local.algorithm.efficientnet import load_encoder
from gtseg.local.algorithm.hyperparameters import Hyperparameters
from gtseg.local.algorithm.model import (
    HYPERPARAMETERS,
    Artifact,
    copy_atomically,
    read_artifact,
    write_atomically,
)
from gtseg.local.algorithm.model_archive import BadArchive, unpack
from gtseg.local.algorithm.recipe import Recipe
from gtseg.local.algorithm.weights import load_weights

# -------- state -----------------------------------------------------------------------------------
#
# What a job carries from step to step, and through `checkpoints/` from process to process.

CHECKPOINT = "checkpoint.pt"
# What may differ between the run that saved a checkpoint and the one that goes on from it
EXTENDABLE = frozenset({"epochs", "num_training_samples", "early_stopping", "early_stopping_min_epochs"})


@dataclass
class Progress:
    """Everything that is no weight. `t`: updates done; `epoch`: the one going on, from 0."""

    t: int = 0
    epoch: int = 0
    loss_sum: float = 0.0  # over the batches of this epoch
    loss_count: int = 0
    best_miou: float = -1.0
    patience_miou: float = -1.0  # the mIOU that early stopping compares with
    patience_used: int = 0
    spent: float = 0.0  # seconds of the budget used up
    finished: bool = False


def average_of(model: nn.Module) -> nn.Module:
    """A copy that `blend` moves: the exponential moving average, which generalises better than the last weights."""
    average = copy.deepcopy(model).eval()
    return average.requires_grad_(False)


@torch.no_grad()
def blend(average: nn.Module, model: nn.Module, t: int, *, decay: float) -> None:
    """average <- decay * average + (1 - decay) * model, faster at the beginning."""
    keep = min(decay, (1 + t) / (10 + t))
    torch._foreach_lerp_(list(average.parameters()), list(model.parameters()), 1 - keep)
    for ours, theirs in zip(average.buffers(), model.buffers(), strict=True):
        if ours.is_floating_point():
            ours.lerp_(theirs, 1 - keep)
        else:
            ours.copy_(theirs)


def early_stop(p: Progress, miou: float, h: Hyperparameters) -> bool:
    """True when `patience` epochs in a row brought no relative gain above `tolerance`, after `min_epochs`."""
    if miou > p.patience_miou * (1 + h.early_stopping_tolerance):
        p.patience_miou, p.patience_used = miou, 0
    else:
        p.patience_used += 1
    return (
        h.early_stopping and p.epoch + 1 >= h.early_stopping_min_epochs and p.patience_used >= h.early_stopping_patience
    )


# ---------------------------------------------------------------------------------------------- checkpoints


@dataclass
class Trained:
    """The tensors of a job."""

    model: nn.Module
    average: nn.Module | None
    optimizers: list[torch.optim.Optimizer]

    @property
    def judged(self) -> nn.Module:
        """What is validated and served."""
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


def keep_beside(folders: Folders, name: str) -> None:
    """The best weights so far go with the checkpoint: whoever goes on from it elsewhere starts with an empty model/."""
    if (folders.model / name).exists():
        copy_atomically(folders.model / name, folders.checkpoints / name)


def bring_back(folders: Folders, name: str) -> None:
    if (folders.checkpoints / name).exists() and not (folders.model / name).exists():
        copy_atomically(folders.checkpoints / name, folders.model / name)


def read_configuration(folder: Path) -> dict[str, str] | None:
    """The configuration of the folder's checkpoint; None where there is none that can be read."""
    path = folder / CHECKPOINT
    if not path.exists():
        return None
    try:
        content = load_weights(path)
        return {str(k): str(v) for k, v in content["configuration"].items()}
    except Exception:
        return None  # restore() says what is wrong with it


def restore(folder: Path, trained: Trained, configuration: Mapping[str, str]) -> Progress | None:
    """Fills `trained` from the folder's checkpoint; None where there is none, or one of another job."""
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


# -------- start -----------------------------------------------------------------------------------
#
# Where a network's weights come from before the first step: an earlier model, ImageNet, or nowhere.

# torchvision's ImageNet weights; their parameter names are those of `dilated.DilatedResNet`
IMAGENET = {"resnet-50": "resnet50-0676ba61.pth", "resnet-101": "resnet101-63fe2227.pth"}
DOWNLOAD = "https://download.pytorch.org/models/"
WEIGHTS_ENV = "GTSEG_IMAGENET_WEIGHTS"
"""For the ResNets a .pth file, a folder that holds the files of IMAGENET, or "download"; "off": no ImageNet weights at all."""
DOWNLOAD_WORD, OFF = "download", "off"
PATIENCE = 5.0  # seconds without a byte, and seconds after which a download too slow to end soon is given up


def start_weights(model: nn.Module, folders: Folders, h: Hyperparameters, r: Recipe) -> None:
    """Fills `model` in place. Raises ClientError: the `model` channel holds something else."""
    if folders.has_channel("model"):
        continue_from(model, folders, h, r)
    elif r.network == "efficientnet-lite0":
        load_encoder(model.encoder)  # type: ignore[arg-type]
        log.info("Starting from EfficientNet-Lite0 with ImageNet weights, which ship with the algorithm.")
    elif wants_imagenet(h, r):
        load_imagenet(model.backbone, h.backbone)  # type: ignore[arg-type]


def earlier_network(folders: Folders) -> str | None:
    """The network of the checkpoint, or of the model in channel `model`, that this job goes on from; None: a new start."""
    checkpoint = read_configuration(folders.checkpoints)
    if checkpoint is not None:
        return checkpoint.get("_network")
    if folders.has_channel("model"):
        return open_model_channel(folders.channel("model")).settings.get("_network")
    return None


def wants_imagenet(h: Hyperparameters, r: Recipe) -> bool:
    return r.network == "dilated" and h.use_pretrained_model and may_use_imagenet()


def may_use_imagenet() -> bool:
    """False where GTSEG_IMAGENET_WEIGHTS=off: jobs then start from random weights."""
    return os.environ.get(WEIGHTS_ENV) != OFF


# ------------------------------------------------------------------------------------- incremental training


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
                f"this job asks for {value}; backbone, algorithm, crop_size and num_classes must agree"
            )
    model.load_state_dict(artifact.weights)
    log.info("Continuing from the model in channel 'model'.")


def open_model_channel(folder: Path) -> Artifact:
    """The channel holds model.tar.gz, or its three files."""
    if (folder / HYPERPARAMETERS).is_file():
        return read_artifact(folder)
    archives = sorted(folder.glob("*.tar.gz"))
    if len(archives) != 1:
        raise ClientError(
            f"channel 'model' must hold one model.tar.gz, or its files; it holds {len(archives)} archives"
        )
    with tempfile.TemporaryDirectory() as scratch:
        try:
            unpack(archives[0], Path(scratch))
        except (BadArchive, OSError) as error:
            raise ClientError(f"{archives[0]} cannot be unpacked: {error}") from None
        artifact = read_artifact(Path(scratch))
        return Artifact(artifact.settings, {k: v.clone() for k, v in artifact.weights.items()})


# -------------------------------------------------------------------------------------------------- ImageNet


def load_imagenet(backbone: nn.Module, name: str) -> None:
    """Never fails the job: a log line says where the weights came from, or that there are none."""
    try:
        path = find_imagenet(IMAGENET[name])
        weights = torch.load(path, map_location="cpu", weights_only=True)
        weights = {k: v for k, v in weights.items() if not k.startswith("fc.")}
        weights["conv1.weight"] = weights["conv1.weight"].flip(1)  # theirs read RGB, OpenCV gives BGR
        backbone.load_state_dict(weights)
        log.info(f"Loaded ImageNet weights for {name} from {path}")
    except Exception as error:
        log.warn(
            f"No ImageNet weights for {name} ({type(error).__name__}: {error}): the backbone starts from random weights. "
            f"Set {WEIGHTS_ENV} to a folder that holds {IMAGENET[name]}, or to {DOWNLOAD_WORD!r}"
        )


def find_imagenet(file_name: str) -> Path:
    """The environment's file or folder, else PyTorch's cache; a download only where the user asked for one."""
    given = os.environ.get(WEIGHTS_ENV, "")
    if given and given != DOWNLOAD_WORD:
        return Path(given) / file_name if Path(given).is_dir() else Path(given)
    cache = Path(torch.hub.get_dir()) / "checkpoints" / file_name
    if cache.exists() or given == DOWNLOAD_WORD:
        return cache if cache.exists() else download(DOWNLOAD + file_name, cache)
    raise FileNotFoundError(f"{cache} is not there, and nothing is downloaded unless {WEIGHTS_ENV}={DOWNLOAD_WORD}")


def open_url(url: str) -> Any:
    """Name resolution has no time limit of its own, so that all of it happens beside a clock."""
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
        raise TimeoutError(f"{url}: no answer within {PATIENCE:g} s") from None
    if isinstance(answer, Exception):
        raise answer
    return answer


def download(url: str, target: Path) -> Path:
    """Gives up after 5 s without an answer, or when after 5 s it would clearly take more than two minutes."""
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f"{target.name}.{os.getpid()}.part")
    started = time.monotonic()
    try:
        with open_url(url) as answer, part.open("wb") as out:
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
