"""Channel layout of the built-in algorithm: object locations and names.

Images and annotations are paired by the stem of their file name (developer guide, semantic-segmentation). Names consist
of letters, digits, `_` and `-` only, because the container of 2018 that reads them cannot be inspected.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Sequence

from gtseg.core.training.splits import PARTS

LABEL_MAP = "label_map"
CHANNELS = (*(name for part in PARTS for name in (part, f"{part}_annotation")), LABEL_MAP)
MAX_STEM = 100
_PLAIN = re.compile(r"[A-Za-z0-9_-]+")
_UNPLAIN = re.compile(r"[^A-Za-z0-9_-]+")
_EXTENSION = re.compile(r"\.(jpe?g|png)$", re.IGNORECASE)


def channel_uri(root: str, channel: str) -> str:
    """Return `s3://.../channels/train/`, with its slash: without it S3 would match `train_annotation/` too."""
    return f"{root}{channel}/"


def image_key(part: str, stem: str) -> str:
    """Return the key below channels/: `train/<stem>.jpg`."""
    return f"{part}/{stem}.jpg"


def annotation_key(part: str, stem: str) -> str:
    """Return the key below channels/: `train_annotation/<stem>.png`."""
    return f"{part}_annotation/{stem}.png"


def name_stems(images: Sequence[str]) -> list[str]:
    """Return one stem per image URI, all distinct, also ignoring case.

    A plain, unique name stays: `a/IMG_7.JPG` -> `IMG_7`. Others are made plain and get eight digits of a hash of their
    URI: `a/x.jpg`, `b/x.png` -> `x-1f0c...`, `x-77ab...`. A URI that occurs twice is two objects.
    """
    seen = Counter(_stem(image).casefold() for image in images)
    taken = {stem.casefold() for stem in map(_stem, images) if seen[stem.casefold()] == 1 and _is_plain(stem)}
    turns: Counter[str] = Counter()
    names = []
    for image in images:
        stem = _stem(image)
        if stem.casefold() in taken and _is_plain(stem):
            names.append(stem)
            continue
        turns[image] += 1
        names.append(_tell_apart(stem, f"{image}\n{turns[image]}", taken))
    return names


def _stem(image: str) -> str:
    return _EXTENSION.sub("", image.rsplit("/", 1)[-1])


def _is_plain(stem: str) -> bool:
    return len(stem) <= MAX_STEM and _PLAIN.fullmatch(stem) is not None


def _tell_apart(stem: str, address: str, taken: set[str]) -> str:
    plain = _UNPLAIN.sub("_", stem)[: MAX_STEM - 40].strip("_") or "image"
    digest = hashlib.sha256(address.encode("utf-8", "surrogatepass")).hexdigest()
    name = next(n for length in (8, 16, 32) if (n := f"{plain}-{digest[:length]}").casefold() not in taken)
    taken.add(name.casefold())
    return name


def label_maps() -> dict[str, bytes]:
    """Return both files of the label_map channel, below channels/, for annotations that hold class indices already.

    `scale` 1 is the container's default; with one file only, the map of the other channel would be undefined.
    """
    body = json.dumps({"scale": 1}).encode() + b"\n"
    return {f"{LABEL_MAP}/{part}_label_map.json": body for part in ("train", "validation")}
