"""Refinement of suggested masks by the outline network, object by object.

    python -m gtseg.local.labeling.assist.refine --root DIR --images DIR

The small model sees the whole image at low resolution: its masks locate objects well but are inexact at their edges.
The outline network sees each object at a higher resolution, with the suggested mask as the present mask.

    input/names             images that were scored
    input/smallest          smallest share of an image that an object of each label has
    output/masks/NAME.png   mask of the small model
    output/refined/NAME.png the refined mask

After a kill, a new process continues with the missing masks.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from gtseg.local.algorithm.untrusted.pictures import PictureError, open_picture
from gtseg.local.labeling.autosegment import Predictor, refine_mask, shared_predictor
from gtseg.local.labeling.pictures import decoding

MOST = 400
"""Limit on the masks refined: those of the objects handed out next."""
PERCENTILE = 10
"""Percentile of the labeled objects' areas; objects smaller than half of it are not suggested."""

Mask = NDArray[np.uint8]


def find_smallest(masks: Sequence[Mask]) -> dict[int, float]:
    """Return label -> smallest plausible share of an image for an object, from (H, W) class indices of answers."""
    shares: dict[int, list[float]] = {}
    for mask in masks:
        for label in np.unique(mask[(mask > 0) & (mask < 255)]):
            _, _, stats, _ = cv2.connectedComponentsWithStats((mask == label).astype(np.uint8), connectivity=4)
            shares.setdefault(int(label), []).extend((stats[1:, cv2.CC_STAT_AREA] / mask.size).tolist())
    return {label: float(np.percentile(found, PERCENTILE)) / 2 for label, found in sorted(shares.items())}


def refine_objects(predictor: Predictor, image: NDArray[np.uint8], mask: Mask, smallest: Mapping[int, float]) -> Mask:
    """Return the refined class indices of (H, W) class indices and an (H, W, 3) RGB image.

    Objects smaller than `smallest` are left out, before and after refinement. A pixel of two refined objects belongs to
    the smaller one, since objects in front are usually completely visible.
    """
    found = []
    for label in np.unique(mask[mask > 0]):
        least = smallest.get(int(label), 0.0) * mask.size
        for part in split(mask == label, least):
            found += [(int(label), refined) for refined in split(refine_mask(predictor, image, part), least)]
    result = np.zeros_like(mask)
    for label, part in sorted(found, key=lambda item: -int(np.count_nonzero(item[1]))):
        result[part] = label
    return result


def split(plane: NDArray[np.bool_], least: float) -> list[NDArray[np.bool_]]:
    """Return the connected areas with at least `least` pixels."""
    count, numbers, stats, _ = cv2.connectedComponentsWithStats(plane.astype(np.uint8), connectivity=4)
    return [numbers == number for number in range(1, count) if stats[number, cv2.CC_STAT_AREA] >= least]


def refine_file(predictor: Predictor, root: Path, image: Path, smallest: Mapping[int, float]) -> None:
    """Refine one mask of output/masks into output/refined, unless it exists; copy it if the image cannot be read."""
    source, target = (root / "output" / folder / f"{image.name}.png" for folder in ("masks", "refined"))
    if target.exists() or not source.exists():
        return
    with open_picture(source.read_bytes()) as stored:
        mask = np.asarray(stored, np.uint8)
    try:
        with open_picture(image.read_bytes()) as picture, decoding(picture.size):
            pixels = np.asarray(picture.convert("RGB"), np.uint8)
    except (PictureError, OSError):
        pixels = None
    if pixels is not None and pixels.shape[:2] == mask.shape:
        mask = refine_objects(predictor, pixels, mask, smallest)
    part = target.with_name(f".{target.name}.part")
    Image.fromarray(mask).save(part, "PNG")
    os.replace(part, target)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m gtseg.local.labeling.assist.refine", description=__doc__)
    parser.add_argument("--root", type=Path, required=True)
    parser.add_argument("--images", type=Path, required=True)
    options = parser.parse_args()
    names = (options.root / "input" / "names").read_text(encoding="utf-8").splitlines()
    path = options.root / "input" / "smallest"
    smallest = {int(label): share for label, share in json.loads(path.read_text()).items()} if path.exists() else {}
    (options.root / "output" / "refined").mkdir(parents=True, exist_ok=True)
    cv2.setNumThreads(1)
    predictor = shared_predictor()
    for name in names[:MOST]:
        refine_file(predictor, options.root, options.images / name, smallest)
    return 0


if __name__ == "__main__":
    sys.exit(main())
