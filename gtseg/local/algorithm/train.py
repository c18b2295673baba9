"""Training of one job, from its folders to model/, in reading order.

configuration -> data -> network -> (checkpoint) -> epochs of [batches, validation, best, checkpoint] -> model/
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import cv2
import torch
from torch import nn

from gtseg.local.algorithm import hyperparameters, log, optimization, recipe, state
from gtseg.local.algorithm.container import AlgorithmError, Folders, Interrupt, Stopped
from gtseg.local.algorithm.data import (
    Channel,
    batches_through,
    class_weights,
    open_channel,
    training_batch,
)
from gtseg.local.algorithm.hardware.precision import half_dtype, has_fast_half
from gtseg.local.algorithm.hardware.threads import Threads, cores
from gtseg.local.algorithm.hyperparameters import Hyperparameters
from gtseg.local.algorithm.inference.predict import LOG_EVERY, Score, score_channel
from gtseg.local.algorithm.model import (
    BEST,
    LAST,
    build,
    write_atomically,
    write_settings,
)
from gtseg.local.algorithm.networks.efficientnet import PretrainedNetwork
from gtseg.local.algorithm.optimization import Budget, compute_loss, crop_at, planned_updates, rate_factor
from gtseg.local.algorithm.recipe import Recipe
from gtseg.local.algorithm.state import Progress, Trained, earlier_network, may_use_imagenet, start_weights

CHECKPOINT_EVERY = 20.0
"""Minimum seconds between checkpoints, which are written at ends of epochs."""
VALIDATION_SHARE = 9.0
"""Seconds of training per second of validation, if the time is limited."""


@dataclass
class Job:
    """State that the functions of a job share."""

    folders: Folders
    h: Hyperparameters
    r: Recipe
    configuration: dict[str, str]
    train: Channel
    validation: Channel
    device: torch.device
    trained: Trained
    budget: Budget
    weights: torch.Tensor | None
    interrupt: Interrupt
    threads: Threads = field(default_factory=lambda: Threads(cores()))
    progress: Progress = field(default_factory=Progress)
    saved_at: float = 0.0
    validated_at: float = 0.0
    """Used seconds of the budget at the last validation."""
    validation_seconds: float = 0.0
    step_seconds: float = 0.0
    """Seconds of the last update."""


def train(folders: Folders, budget: Budget, interrupt: Interrupt, *, seed: int = 1) -> None:
    """Run the job to its end. Raises ClientError, AlgorithmError, or Stopped after SIGTERM, with everything saved."""
    started = time.time()
    job = prepare(folders, budget, interrupt, seed=seed)
    setup_seconds = time.time() - started
    try:
        _log_plan(job)
        for epoch in range(job.progress.epoch, job.h.epochs):
            if job.progress.finished:
                break
            _run_epoch(job, epoch)
    except Stopped:
        save_all(job)
        raise
    finish(job)
    totals = {
        "epochs": job.progress.epoch,
        "totaltime": 1e3 * (time.time() - started),
        "setuptime": 1e3 * setup_seconds,
    }
    log.metrics(totals, started=started)


# --- configuration ---


def prepare(folders: Folders, budget: Budget, interrupt: Interrupt, *, seed: int) -> Job:
    h, configuration = configure(folders)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    channels = [open_channel(folders, name, num_classes=h.num_classes) for name in ("train", "validation")]
    r = recipe.choose(
        h,
        has_gpu=device.type == "cuda",
        fast_half=has_fast_half(device),
        pictures=channels[0].pictures,
        network=earlier_network(folders),
        imagenet=may_use_imagenet(),
    )
    r = replace(r, seed=seed)
    if r.network != "dilated":
        log.warn(recipe.describe(r, h))
    for channel in channels:
        channel.centered = r.centered
        channel.long_side = r.base_size * 2 if r.augmentation == "builtin" else max(*r.crops, r.inference_size)
    log.info(f"Number of GPUs being used: {int(device.type == 'cuda')}")
    cv2.setNumThreads(1)
    trained = _make_trained(folders, h, r, device)
    weights = torch.from_numpy(class_weights(channels[0].counts)).to(device) if r.balanced else None
    private = {
        "_network": r.network,
        "_inference_size": str(r.inference_size),
        "_crop_size": str(r.crop_size),
        **({"_mirror": str(r.mirror)} if r.network == "efficientnet-lite0" else {}),
    }
    job = Job(
        folders,
        h,
        r,
        {**configuration, **private},
        channels[0],
        channels[1],
        device,
        trained,
        budget,
        weights,
        interrupt,
    )
    resume(job)
    write_settings(folders.model, job.configuration)
    _fit_to_budget(job)
    return job


BACKWARD = 3.0
"""Time of forward and backward pass relative to forward."""
BATCH_MINIMUM = 2
"""Batch normalization requires more than one image."""


def _fit_to_budget(job: Job) -> None:
    """For a ResNet with a time limit: reserve time for validation and reduce the batch so that at least one update
    fits.

    On a CPU one batch can take minutes. One image is timed before training; validation gets at most half of the budget,
    and the batch is reduced if there is no time for the requested size.
    """
    seconds = job.budget.seconds
    if job.r.network != "dilated" or seconds is None:
        return
    used = job.budget.used()
    _score_pictures(job, 0, lambda: True)
    picture = job.budget.used() - used
    job.budget.reserve = min(1.2 * picture * len(job.validation) + 0.5, seconds / 2)
    sample = picture * BACKWARD * (job.r.crop_size / job.r.inference_size) ** 2
    room = seconds - job.budget.reserve - job.budget.used()
    batch = max(BATCH_MINIMUM, min(job.r.batch, int(room / max(sample, 1e-9))))
    if batch < job.r.batch:
        log.warn(f"The time budget of {seconds:g} s has no room for a batch of {job.r.batch}: batches of {batch}")
        job.r = replace(job.r, batch=batch)


def _score_pictures(job: Job, epoch: int, is_late: Callable[[], bool]) -> tuple[Score, int]:
    """Return the score on the validation channel and the number of images.

    A ResNet with a time limit takes single images.
    """
    one_by_one = job.r.network == "dilated" and job.budget.seconds is not None
    r = replace(job.r, validation_batch=1) if one_by_one else job.r
    return score_channel(
        job.trained.evaluated_model, job.validation, r, epoch=epoch, device=job.device, is_late=is_late
    )


def _log_plan(job: Job) -> None:
    per_epoch, _ = planned_updates(job.h, job.r.batch)
    log.info(f"LRScheduler setup: iters per epoch: {per_epoch}, num_epochs {job.h.epochs}")
    zeros = dict.fromkeys(ITERATOR_METRICS, 0)
    log.metrics(zeros, started=time.time(), dimensions={"Meta": "init_train_data_iter"})


def configure(folders: Folders) -> tuple[Hyperparameters, dict[str, str]]:
    provided = folders.read_config("hyperparameters.json")
    log.info(f"Reading default configuration from default-input.json: {hyperparameters.DEFAULTS}")
    log.info(f"Merging with provided configuration from {folders.config / 'hyperparameters.json'}: {provided}")
    h = hyperparameters.parse(provided)
    configuration = hyperparameters.merge(provided)
    log.info(f"Final configuration: {configuration}")
    return h, configuration


def _make_trained(folders: Folders, h: Hyperparameters, r: Recipe, device: torch.device) -> Trained:
    torch.manual_seed(r.seed)
    model = build(r.network, algorithm=h.algorithm, backbone=h.backbone, num_classes=h.num_classes, syncbn=h.syncbn)
    start_weights(model, folders, h, r)
    if isinstance(model, PretrainedNetwork):
        model.encoder.freeze(r.frozen)
    model = model.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    average = state.copy_for_average(model) if r.average else None
    return Trained(model, average, optimization.build(model, r, h))


def resume(job: Job) -> None:
    progress = state.restore(job.folders.checkpoints, job.trained, job.configuration)
    if progress is None:
        return
    log.info(f"Resuming from {job.folders.checkpoints / state.CHECKPOINT}: epoch {progress.epoch}, update {progress.t}")
    job.progress = progress
    job.budget.spent = progress.spent
    state.restore_best_weights(job.folders, BEST)


# --- epochs ---


def _run_epoch(job: Job, epoch: int) -> None:
    """Run the batches to the end of the epoch (or of the budget), then validation, best model, checkpoint."""
    started = time.time()
    job.progress.epoch = epoch
    end = batches_through(epoch, samples=len(job.train), batch=job.r.batch)
    samples = _train_batches(job, epoch, end)
    log.quality(epoch, "train loss", job.progress.loss_sum / max(job.progress.loss_count, 1))
    log.throughput(epoch, "train", samples / (time.time() - started + 1e-9))
    if _validation_is_due(job):
        miou = validate(job, epoch)
        _keep_best(job, miou)
        _stop_early(job, epoch, miou)
    _end_epoch(job, epoch)
    log.completed(round(100 * (epoch + 1) / job.h.epochs))
    metrics = _iterator_metrics(job, epoch, samples)
    log.metrics(metrics, started=started, dimensions={"Meta": "training_data_iter", "epoch": epoch})


def _train_batches(job: Job, epoch: int, end: int) -> int:
    """Run updates `progress.t`..`end`, fewer if the budget ends; return the number of samples."""
    p, first = job.progress, job.progress.t
    noticed, since = p.t, time.time()
    while p.t < end and not (p.t and is_over(job)):
        used = job.budget.used()
        with job.threads.step():
            rate = step(job)
        job.step_seconds = job.budget.used() - used
        if p.loss_count % LOG_EVERY == 0:
            speed = (p.t - noticed) * job.r.batch / (time.time() - since + 1e-9)
            log.progress(epoch, p.loss_count, speed=speed, learning_rate=rate)
            noticed, since = p.t, time.time()
    return (p.t - first) * job.r.batch


def is_over(job: Job) -> bool:
    """Return whether the budget has no room for another update, which takes a ResNet many seconds on a CPU."""
    return job.budget.share() >= 1 or not job.budget.has_room(job.step_seconds)


def step(job: Job) -> float:
    """Run one batch and one update; return the learning rate used."""
    p, r, model = job.progress, job.r, job.trained.model
    done = max(p.t / planned_updates(job.h, r.batch)[1], job.budget.share())
    factor = rate_factor(r.scheduler, done, job.h)
    x, y = training_batch(job.train, p.t, r, crop=crop_at(r.crops, done))  # (B, 3, S, S) float32, (B, S, S) uint8
    x, y = x.to(job.device, memory_format=torch.channels_last), y.to(job.device)
    model.train()
    with torch.autocast(job.device.type, enabled=r.half, dtype=half_dtype(job.device)):
        outputs = model(x)  # ((B, C, s, s) logits, auxiliary ones)
    loss = compute_loss(outputs, y, aux_weight=r.aux_weight, weights=job.weights, centered=r.centered)
    for optimizer in job.trained.optimizers:
        optimizer.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    value = loss.item()
    if not math.isfinite(value):
        raise AlgorithmError(f"the training loss became {value} at update {p.t}: use a smaller learning_rate")
    with job.interrupt.held():  # an update is atomic
        update(job, factor)
        p.t, p.loss_sum, p.loss_count = p.t + 1, p.loss_sum + value, p.loss_count + 1
    return r.learning_rate * factor


def update(job: Job, factor: float) -> None:
    if job.r.optimizer in ("muon", "adamw"):
        nn.utils.clip_grad_norm_(job.trained.model.parameters(), 10.0)
    optimization.set_rate(job.trained.optimizers, factor)
    for optimizer in job.trained.optimizers:
        optimizer.step()
    if job.trained.average is not None:
        state.blend(job.trained.average, job.trained.model, job.progress.t, decay=job.r.average)


# --- validation ---


def _validation_is_due(job: Job) -> bool:
    """Return whether to validate: after every epoch, or about a tenth of a limited time with the pretrained network."""
    if job.r.network != "efficientnet-lite0" or job.budget.seconds is None or job.h.early_stopping:
        return True
    last = is_over(job) or job.progress.epoch + 1 >= job.h.epochs
    return last or job.budget.used() - job.validated_at >= VALIDATION_SHARE * job.validation_seconds


def validate(job: Job, epoch: int) -> float:
    """Validate and log pixel accuracy, mIOU and throughput; return mIOU."""
    started, used = time.time(), job.budget.used()
    score, judged = _score_pictures(job, epoch, job.budget.is_used)
    if judged < len(job.validation):
        log.warn(f"Validation took {judged} of {len(job.validation)} pictures: the time budget is used")
    log.quality(epoch, "validation pixel_accuracy", score.pixel_accuracy)
    log.quality(epoch, "validation mIOU", score.miou)
    log.throughput(epoch, "validation", judged / (time.time() - started + 1e-9))
    job.validated_at, job.validation_seconds = job.budget.used(), job.budget.used() - used
    job.budget.reserve = max(job.budget.reserve, 1.2 * job.validation_seconds + 0.5)
    if job.r.network == "dilated" and job.budget.seconds is not None:
        job.budget.reserve = min(job.budget.reserve, job.budget.seconds / 2)
    return score.miou


def _keep_best(job: Job, miou: float) -> None:
    if miou > job.progress.best_miou:
        job.progress.best_miou = miou
        _serialize(job, BEST)


def _serialize(job: Job, name: str) -> None:
    log.info(f"Serializing model to {job.folders.model / name}")
    write_atomically(job.folders.model / name, job.trained.evaluated_model.state_dict())


def _stop_early(job: Job, epoch: int, miou: float) -> None:
    p = job.progress
    if state.early_stop(p, miou, job.h):
        log.info(f"Early stopping: no gain in validation mIOU for {p.patience_used} epochs, after epoch {epoch}")
        p.finished = True


def _end_epoch(job: Job, epoch: int) -> None:
    p = job.progress
    if is_over(job):
        log.info(f"The time budget of {job.budget.seconds:g} s is used: ending after epoch {epoch}")
        p.finished = True
    p.epoch, p.loss_sum, p.loss_count = epoch + 1, 0.0, 0
    if time.monotonic() - job.saved_at > CHECKPOINT_EVERY or p.finished or p.epoch == job.h.epochs:
        with job.interrupt.held():
            _save_checkpoint(job)


ITERATOR_METRICS = (
    "Max Batches Seen Between Resets",
    "Number of Batches Since Last Reset",
    "Number of Records Since Last Reset",
    "Total Batches Seen",
    "Total Records Seen",
    "Max Records Seen Between Resets",
    "Reset Count",
)


def _iterator_metrics(job: Job, epoch: int, samples: int) -> dict[str, float]:
    batches, total = samples // job.r.batch, job.progress.t
    values = (batches, batches, samples, total, total * job.r.batch, samples, epoch + 1)
    return dict(zip(ITERATOR_METRICS, values, strict=True))


# --- end ---


def finish(job: Job) -> None:
    with job.interrupt.held():
        _serialize(job, LAST)
    log.info("Test data is not provided.")


def save_all(job: Job) -> None:
    """After SIGTERM, save a checkpoint to continue from and a model that can be served."""
    with job.interrupt.ignored():
        _save_checkpoint(job)
        if not (job.folders.model / BEST).exists():
            _serialize(job, BEST)
        _serialize(job, LAST)


def _save_checkpoint(job: Job) -> None:
    job.progress.spent = job.budget.used()
    state.copy_best_weights(job.folders, BEST)
    state.save(job.folders.checkpoints, job.trained, job.progress, job.configuration)
    job.saved_at = time.monotonic()
