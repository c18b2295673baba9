"""What training minimises; 255 is out of every term."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from gtseg.local.algorithm.pairs import VOID


def loss_of(
    outputs: tuple[torch.Tensor, ...], masks: torch.Tensor, *, aux_weight: float, weights: torch.Tensor | None
) -> torch.Tensor:
    """Cross entropy of the main logits plus `aux_weight` x that of each auxiliary one; with `weights`, half a Dice loss too.

    outputs: (B, C, h, w) logits; masks: (B, H, W) uint8; weights: (C,) class weights or None.
    """
    main, *auxiliary = outputs
    target = at_size(masks, main.shape[-2:])  # (B, h, w) int64
    total = cross_entropy(main.float(), target, weights)
    for logits in auxiliary:
        total = total + aux_weight * cross_entropy(logits.float(), at_size(masks, logits.shape[-2:]), weights)
    return total if weights is None else total + 0.5 * dice_loss(main.float(), target)


def at_size(masks: torch.Tensor, size: torch.Size) -> torch.Tensor:
    """The mask's value in the middle of each cell of the output's grid."""
    step_y, step_x = masks.shape[1] // size[0], masks.shape[2] // size[1]
    return masks[:, step_y // 2 :: step_y, step_x // 2 :: step_x].long()


def cross_entropy(logits: torch.Tensor, target: torch.Tensor, weights: torch.Tensor | None) -> torch.Tensor:
    """The mean over pixels that count; 0, not NaN, where none does."""
    total = F.cross_entropy(logits, target, weight=weights, ignore_index=VOID, reduction="sum")
    counted = (target != VOID).sum() if weights is None else weights[target[target != VOID]].sum()
    return total / counted.clamp(min=1e-6)


def dice_loss(logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """1 - the mean over classes of the soft Dice score of the batch."""
    counts = (target != VOID)[:, None]  # (B, 1, h, w)
    truth = (
        F.one_hot(target.where(counts[:, 0], 0), logits.shape[1]).permute(0, 3, 1, 2) * counts
    )  # (B, C, h, w)
    guess = logits.softmax(1) * counts
    inter = (guess * truth).sum((0, 2, 3))
    return 1 - ((2 * inter + 1) / (guess.sum((0, 2, 3)) + truth.sum((0, 2, 3)) + 1)).mean()
