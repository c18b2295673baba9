"""Refinement of a mask that exists already, by the networks alone or with corrective clicks."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from gtseg.local.labeling.autosegment import crop
from gtseg.local.labeling.autosegment.crop import MARGIN, Points, window_of
from gtseg.local.labeling.autosegment.mask_crop import ObjectMask, SegmentedObject, extract_mask
from gtseg.local.labeling.autosegment.predictor import ObjectState, Predictor
from gtseg.local.labeling.autosegment.prompts import NONE, Start

Mask = NDArray[np.bool_]
REACH = 0.3
"""Margin around the mask's box on each side, as a share of its longer side; clicks can add pixels within it."""
TRUST = 0.45
"""Distance from 0.5 of the initial probability inside and outside the mask."""
CHANGED = 0.02
"""Change of a probability below which a pixel keeps its value in the given mask."""


def refine_mask(predictor: Predictor, image: NDArray[np.uint8], mask: Mask) -> Mask:
    """Return an (H, W) bool mask refined by the networks for an (H, W, 3) RGB image.

    Without networks, or if the result is empty, the mask is returned unchanged.
    """
    if not predictor.nets or not mask.any():
        return mask
    state = start_from_mask(predictor, image, mask, margin=MARGIN)
    probability = predictor.predict(state, inside=NONE, outside=NONE, present=state.first)
    found = extract_mask(probability, state.window, (mask.shape[0], mask.shape[1]), limits=None, inside=NONE)
    refined = found.full_mask((mask.shape[0], mask.shape[1]))
    return refined if refined.any() else mask


def correct_mask(
    predictor: Predictor, image: NDArray[np.uint8], mask: Mask, *, inside: Points, outside: Points, key: object = None
) -> SegmentedObject:
    """Correct an (H, W) bool mask by clicks, (N, 2) x, y: `inside` add to it, `outside` remove from it.

    `key` names the image; with it, the features of this mask are cached for the next click. Without networks, GrabCut
    segments the mask's box anew.
    """
    if not predictor.nets:
        return predictor.segment(image, Start("box", box_of(mask)), inside=inside, outside=outside, key=key)
    name = None if key is None else (key, "mask", hash(np.packbits(mask).tobytes()))
    state = predictor.cache(name, lambda: start_from_mask(predictor, image, mask, margin=REACH))
    assert state.first is not None
    yes, no = state.window.inward(inside), state.window.inward(outside)
    probability = predictor.predict_corrected(state, inside=yes, outside=no)
    changed = (np.abs(probability - state.first) > CHANGED).astype(np.float32)
    shape = (mask.shape[0], mask.shape[1])
    left, top, values = crop.paste(state.window, probability, shape)
    touched = crop.paste(state.window, changed, shape)[2] > 0.25
    before = mask[top : top + values.shape[0], left : left + values.shape[1]]
    return ObjectMask(left, top, np.where(touched, values > 0.5, before), crop.extent(state.window, shape))


def start_from_mask(predictor: Predictor, image: NDArray[np.uint8], mask: Mask, *, margin: float) -> ObjectState:
    """Return the state of an object whose present mask is given, with the window around it."""
    start = Start("mask", box_of(mask))
    window = window_of(start.points, predictor.size, margin=margin)
    photo, within = crop.cut_balanced(image, window), start.within(window)
    plane = crop.cut(mask.astype(np.uint8) * np.uint8(255), window).astype(np.float32) / 255  # (S, S)
    state = ObjectState(within, window, photo, within.outline(photo, (plane > 0.5).astype(np.float32)))
    predictor.extract_features(state)
    present = np.asarray(0.5 + TRUST * (2 * cv2.GaussianBlur(plane, (0, 0), 1.0) - 1), np.float32)
    return replace(state, first=present)


def box_of(mask: Mask) -> Points:
    """Return (2, 2) opposite corners of the box around a mask."""
    ys, xs = np.nonzero(mask)
    return np.array([[xs.min(), ys.min()], [xs.max(), ys.max()]], np.float32)
