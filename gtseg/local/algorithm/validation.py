"""A network against a channel of annotations, at the annotations' own size."""

from __future__ import annotations

import time

import torch
from torch import nn

from gtseg.local.algorithm import log
from gtseg.local.algorithm.data import Channel, validation_batches
from gtseg.local.algorithm.model import probabilities
from gtseg.local.algorithm.recipe import Recipe
from gtseg.local.algorithm.score import Score, to_mask

LOG_EVERY = 20  # batches


def score_channel(
    model: nn.Module, channel: Channel, r: Recipe, *, epoch: int, device: torch.device
) -> Score:
    """Every picture of the channel once; a progress line every 20 batches, as in training."""
    score, since = Score(len(channel.counts)), time.time()
    model.eval()
    for n, (x, indices) in enumerate(validation_batches(channel, r), 1):
        x = x.to(device, memory_format=torch.channels_last)
        guess = probabilities(model, x, half=r.half, mirror=r.mirror).cpu().numpy()  # (b, C, h, w)
        for picture, index in zip(guess, indices, strict=True):
            score.add(to_mask(picture, channel.mask_sizes[index]), channel.truth(index))
        if n % LOG_EVERY == 0:
            log.progress(epoch, n, speed=LOG_EVERY * len(indices) / (time.time() - since + 1e-9))
            since = time.time()
    return score
