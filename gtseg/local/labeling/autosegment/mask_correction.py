"""A mask as the start: the networks look at the photograph around it and correct it, by themselves or by clicks."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from gtseg.local.labeling.autosegment import crop
from gtseg.local.labeling.autosegment.crop import MARGIN, Points, window_of
from gtseg.local.labeling.autosegment.mask_crop import Found, FoundMask, settle
from gtseg.local.labeling.autosegment.predictor import Finder, Work
from gtseg.local.labeling.autosegment.prompts import NONE, Start

Mask = NDArray[np.bool_]
REACH = 0.3
"""Of the longer side of the mask's box, on each side: what clicks can add."""
TRUST = 0.45
"""How far from 0.5 the probability of a mask's pixels begins."""
CHANGED = 0.02
"""Of a probability: smaller changes leave the mask as it was, at its own resolution."""


def refine_mask(finder: Finder, image: NDArray[np.uint8], mask: Mask) -> Mask:
    """(H, W) bool -> the object as the networks see it in (H, W, 3) RGB; the mask itself where there are no
    networks.
    """
    if not finder.nets or not mask.any():
        return mask
    work = begin(finder, image, mask, margin=MARGIN)
    probability = finder.answer(work, inside=NONE, outside=NONE, present=work.first)
    found = settle(probability, work.window, (mask.shape[0], mask.shape[1]), limits=None, inside=NONE)
    refined = found.whole((mask.shape[0], mask.shape[1]))
    return refined if refined.any() else mask


def correct_mask(
    finder: Finder, image: NDArray[np.uint8], mask: Mask, *, inside: Points, outside: Points, key: object = None
) -> Found:
    """(H, W) bool, corrected by clicks (N, 2) on what is missing and on what is too much; as it is without clicks.

    `key` names the image: with it, what follows from the mask alone is kept for the next click. Without networks,
    GrabCut begins anew from the mask's box.
    """
    if not finder.nets:
        return finder.find(image, Start("box", box_of(mask)), inside=inside, outside=outside, key=key)
    name = None if key is None else (key, "mask", hash(np.packbits(mask).tobytes()))
    work = finder.keep(name, lambda: begin(finder, image, mask, margin=REACH))
    assert work.settled is not None
    yes, no = work.window.inward(inside), work.window.inward(outside)
    probability = finder.propose(work, inside=yes, outside=no)
    changed = (np.abs(probability - work.settled) > CHANGED).astype(np.float32)
    shape = (mask.shape[0], mask.shape[1])
    left, top, values = crop.paste(work.window, probability, shape)
    touched = crop.paste(work.window, changed, shape)[2] > 0.25
    before = mask[top : top + values.shape[0], left : left + values.shape[1]]
    return FoundMask(left, top, np.where(touched, values > 0.5, before), crop.extent(work.window, shape))


def begin(finder: Finder, image: NDArray[np.uint8], mask: Mask, *, margin: float) -> Work:
    """The window around a mask, with the mask as the answer so far."""
    start = Start("mask", box_of(mask))
    window = window_of(start.points, finder.size, margin=margin)
    photo, within = crop.cut(image, window), start.within(window)
    plane = crop.cut(mask.astype(np.uint8) * np.uint8(255), window).astype(np.float32) / 255  # (S, S)
    work = Work(within, window, photo, within.outline(photo, (plane > 0.5).astype(np.float32)))
    finder.look(work)
    present = np.asarray(0.5 + TRUST * (2 * cv2.GaussianBlur(plane, (0, 0), 1.0) - 1), np.float32)
    return replace(work, first=present, settled=present)


def box_of(mask: Mask) -> Points:
    """(2, 2) opposite corners of a mask's box."""
    ys, xs = np.nonzero(mask)
    return np.array([[xs.min(), ys.min()], [xs.max(), ys.max()]], np.float32)
