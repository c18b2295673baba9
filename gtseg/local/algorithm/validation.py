"""A network against a channel of annotations, at the annotations' own size."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
from torch import nn

from gtseg.local.algorithm import log
from gtseg.local.algorithm.data import Channel, validation_batches
from gtseg.local.algorithm.model import probabilities
from gtseg.local.algorithm.recipe import Recipe
from gtseg.local.algorithm.score import Score, to_mask

LOG_EVERY = 20  # batches


def score_channel(
    model: nn.Module,
    channel: Channel,
    r: Recipe,
    *,
    epoch: int,
    device: torch.device,
    is_late: Callable[[], bool] = lambda: False,
) -> tuple[Score, int]:
    """Every picture of the channel once, and how many those were: fewer where `is_late` says so after a batch.

    A progress line every 20 batches, as in training.
    """
    judged = 0
    score, since = Score(len(channel.counts)), time.time()
    model.eval()
    for n, (x, indices) in enumerate(validation_batches(channel, r), 1):
        x = x.to(device, memory_format=torch.channels_last)
        guess = probabilities(model, x, half=r.half, mirror=r.mirror).cpu().numpy()  # (b, C, h, w)
        for picture, index in zip(guess, indices, strict=True):
            score.add(to_mask(picture, channel.mask_sizes[index]), channel.truth(index))
        judged += len(indices)
        if judged < len(channel) and is_late():
            break
        if n % LOG_EVERY == 0:
            log.progress(epoch, n, speed=LOG_EVERY * len(indices) / (time.time() - since + 1e-9))
            since = time.time()
    return score, judged
