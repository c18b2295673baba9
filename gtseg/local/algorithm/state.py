"""What a job carries from step to step, and through `checkpoints/` from process to process."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from gtseg.local.algorithm import log
from gtseg.local.algorithm.folders import Folders
from gtseg.local.algorithm.hyperparameters import Hyperparameters
from gtseg.local.algorithm.model import copy_atomically, write_atomically
from gtseg.local.algorithm.weights import load_weights

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
        h.early_stopping
        and p.epoch + 1 >= h.early_stopping_min_epochs
        and p.patience_used >= h.early_stopping_patience
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
            {k: v for k, v in c.items() if k not in EXTENDABLE}
            for c in (content["configuration"], configuration)
        )
        if theirs != ours:
            changed = sorted(k for k in theirs.keys() | ours.keys() if theirs.get(k) != ours.get(k))
            log.warn(
                f"{path} belongs to a job with other hyperparameters ({', '.join(changed)}): starting over"
            )
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
