"""Every hyperparameter has an effect: on the schedule, the batches, the network, or when a job ends."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from gtseg.local.algorithm import optimization, state
from gtseg.local.algorithm.container import Folders
from gtseg.local.algorithm.data import batches_through, open_channel, training_batch, validation_batches
from gtseg.local.algorithm.hyperparameters import Hyperparameters, names, parse
from gtseg.local.algorithm.inference import predict
from gtseg.local.algorithm.model import build
from gtseg.local.algorithm.optimization import planned_updates, rate_factor
from gtseg.local.algorithm.recipe import Recipe, choose, describe
from gtseg.local.algorithm.state import wants_imagenet

BASE = {
    "num_classes": "3",
    "num_training_samples": "6",
    "base_size": "64",
    "crop_size": "32",
    "mini_batch_size": "2",
    "validation_mini_batch_size": "2",
    "epochs": "4",
    "lr_scheduler_step": "2",
}
STEP, RMSPROP, STOPPING = {"lr_scheduler": "step"}, {"optimizer": "rmsprop"}, {"early_stopping": "True"}
# name: (a value other than the one above or the default, what else must be set for it to have a meaning)
CHANGES: dict[str, tuple[str, dict[str, str]]] = {
    "num_classes": ("4", {}),
    "num_training_samples": ("12", {}),
    "algorithm": ("deeplab", {}),
    "backbone": ("resnet-101", {"backbone": "resnet-50"}),
    "use_pretrained_model": ("False", {"backbone": "resnet-50"}),
    "base_size": ("48", {}),
    "crop_size": ("40", {}),
    "mini_batch_size": ("3", {}),
    "validation_mini_batch_size": ("3", {}),
    "epochs": ("5", {}),
    "early_stopping": ("True", {}),
    "early_stopping_min_epochs": ("8", STOPPING),
    "early_stopping_patience": ("6", STOPPING),
    "early_stopping_tolerance": ("0.5", STOPPING),
    "optimizer": ("adagrad", {}),
    "learning_rate": ("0.01", {}),
    "lr_scheduler": ("cosine", {}),
    "lr_scheduler_factor": ("0.3", STEP),
    "lr_scheduler_step": ("3", STEP),
    "momentum": ("0.5", {"optimizer": "sgd"}),
    "weight_decay": ("0.01", {"optimizer": "sgd"}),
    "gamma1": ("0.5", RMSPROP),
    "gamma2": ("0.5", RMSPROP),
    "syncbn": ("True", {}),
    "precision_dtype": ("float16", {"backbone": "resnet-50"}),
}


@pytest.fixture
def folders(tmp_path: Path) -> Folders:
    for name in ("train", "train_annotation"):
        (tmp_path / "input/data" / name).mkdir(parents=True)
    for n in range(6):
        pixels = np.random.default_rng(n).integers(0, 255, (60, 60, 3), np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"input/data/train/{n}.jpg")
        Image.fromarray(np.zeros((60, 60), np.uint8)).save(tmp_path / f"input/data/train_annotation/{n}.png")
    return Folders(tmp_path)


def traits(folders: Folders, provided: dict[str, str]) -> dict[str, object]:
    """Everything about a job that depends on its hyperparameters."""
    h = parse(provided)
    r = choose(h, has_gpu=False)
    return {
        "schedule": [round(r.learning_rate * rate_factor(r.scheduler, p / 20, h), 9) for p in range(21)],
        "plan": (
            planned_updates(h, r.batch),
            h.epochs,
            [batches_through(e, samples=6, batch=r.batch) for e in range(h.epochs)],
        ),
        "batches": batches_of(folders, h, r),
        "graph": graph_of(h, r),
        "start": wants_imagenet(h, r),
        "arithmetic": r.half,
        "end": ends_of_training(h),
    }


def batches_of(folders: Folders, h: Hyperparameters, r: Recipe) -> str:
    channel = open_channel(folders, "train", num_classes=h.num_classes)
    digest = hashlib.sha256(training_batch(channel, 0, r, crop=r.crop_size)[0].contiguous().numpy().tobytes())
    digest.update(str([x.shape for x, _ in validation_batches(channel, r)]).encode())
    return digest.hexdigest()


def graph_of(h: Hyperparameters, r: Recipe) -> list[object]:
    with torch.device("meta"):
        model = build(r.network, algorithm=h.algorithm, backbone=h.backbone, num_classes=h.num_classes, syncbn=h.syncbn)
    made = optimization.build(model, r, h)
    settings = [sorted((k, v) for k, v in o.defaults.items() if isinstance(v, int | float)) for o in made]
    shapes = [(name, tuple(p.shape)) for name, p in model.named_parameters()]
    return [
        shapes,
        sorted({type(m).__name__ for m in model.modules()}),
        [type(o).__name__ for o in made],
        settings,
    ]


def ends_of_training(h: Hyperparameters) -> list[list[bool]]:
    ends = []
    for curve in ([0.5] * 12, [0.5 * 1.1**e for e in range(12)]):
        p = state.Progress()
        ends.append([])
        for epoch, miou in enumerate(curve):
            p.epoch = epoch
            ends[-1].append(state.early_stop(p, miou, h))
    return ends


@pytest.mark.parametrize("name", sorted(CHANGES))
@pytest.mark.filterwarnings("ignore:.*fused.*")
def test_changing_a_hyperparameter_changes_the_job(folders: Folders, name: str) -> None:
    value, context = CHANGES[name]
    before = traits(folders, {**BASE, **context})
    after = traits(folders, {**BASE, **context, name: value})
    assert before == traits(folders, {**BASE, **context})
    assert before != after


def test_the_table_of_changes_is_complete() -> None:
    assert set(CHANGES) == set(names())


# -------------------------------------------------------------------------------- which way a job trains


def test_a_given_backbone_is_always_built() -> None:
    for backbone in ("resnet-50", "resnet-101"):
        assert choose(parse({**BASE, "backbone": backbone}), has_gpu=False).network == "dilated"


def test_training_from_scratch_on_a_gpu_uses_the_documented_networks() -> None:
    h = parse({**BASE, "use_pretrained_model": "False"})
    assert choose(h, has_gpu=True).network == "dilated"
    assert choose(h, has_gpu=False).network == "compact"


def test_the_documented_recipe_has_every_documented_default() -> None:
    r = choose(parse({"num_classes": "2", "num_training_samples": "9", "backbone": "resnet-50"}), has_gpu=False)
    assert (r.optimizer, r.learning_rate, r.scheduler, r.momentum, r.weight_decay) == (
        "sgd",
        0.001,
        "poly",
        0.9,
        0.0001,
    )
    assert (r.base_size, r.crop_size, r.batch, r.aux_weight, r.augmentation) == (520, 240, 16, 0.5, "builtin")


@pytest.mark.parametrize(
    ("pretrained", "says"),
    [
        ("False", "compact network 'fcn', learning from scratch"),
        ("True", "EfficientNet-Lite0 under the head 'fcn'"),
    ],
)
def test_other_recipes_use_the_given_hyperparameters_and_log_their_own(pretrained: str, says: str) -> None:
    given = {
        "optimizer": "adam",
        "learning_rate": "0.01",
        "lr_scheduler": "cosine",
        "crop_size": "64",
        "base_size": "80",
        "use_pretrained_model": pretrained,
    }
    h = parse({"num_classes": "2", "num_training_samples": "9", **given})
    r = choose(h, has_gpu=False)
    assert (r.optimizer, r.learning_rate, r.scheduler, r.crop_size, r.crops, r.base_size) == (
        "adam",
        0.01,
        "cosine",
        64,
        (64,),
        80,
    )
    assert says in describe(r, h)
    assert "adam" in describe(r, h)


@pytest.mark.parametrize(("pixels", "largest"), [(1, 1), (2 * 64 * 64, 2), (10**6, 4)])
def test_validation_runs_few_large_images_at_once_with_the_same_score(
    folders: Folders, monkeypatch: pytest.MonkeyPatch, pixels: int, largest: int
) -> None:
    for n, path in enumerate(sorted((folders.root / "input/data/train_annotation").glob("*.png"))):
        Image.fromarray(np.full((60, 60), n % 3, np.uint8)).save(path)
    h = parse({**BASE, "validation_mini_batch_size": "4"})
    r = replace(choose(h, has_gpu=False), half=False)
    channel = open_channel(folders, "train", num_classes=3)
    together: list[int] = []

    def answer(_: object, x: torch.Tensor, **__: object) -> torch.Tensor:
        """Probabilities that follow from each image alone."""
        together.append(len(x))
        likely = (x[:, :1, ::4, ::4] * 7).long() % 3
        return (likely == torch.arange(3)[None, :, None, None]).float()

    monkeypatch.setattr(predict, "probabilities", answer)
    monkeypatch.setattr(predict, "PIXELS_AT_ONCE", pixels)
    score, judged = predict.score_channel(torch.nn.Identity(), channel, r, epoch=0, device=torch.device("cpu"))
    expected = predict.Score(3)
    for x, (index, *_) in validation_batches(channel, replace(r, validation_batch=1)):
        mask = predict.to_mask(answer(None, x)[0].numpy(), channel.mask_sizes[index])
        expected.add(mask, channel.truth(index))
    assert (max(together), judged) == (largest, 6)
    np.testing.assert_array_equal(score.confusion, expected.confusion)
    assert (expected.confusion > 0).all()
