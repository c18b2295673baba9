"""[labeling] gold: images with known masks, mixed into the tasks by a labeling server of gtseg to score its workers."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from gtseg.aws.s3 import is_s3_uri, split_uri
from gtseg.core.plurals import counted
from gtseg.errors import StageError
from gtseg.pipeline.run import Context
from gtseg.pipeline.stages.label.images import Gathered

MOST = 1000


@dataclass(frozen=True)
class GoldImage:
    """URI of an image and its known index mask as PNG."""

    image: str
    mask: bytes


def separate_gold(gathered: Gathered, context: Context) -> tuple[Gathered, tuple[GoldImage, ...]]:
    """Return the images to label, and those with a known mask, which are not objects of the job.

    A mask belongs to the image with the same stem. Raises StageError for a folder without masks, a mask without an
    image or with several, or if no image is left to label.
    """
    source = context.settings.labeling.gold
    if not source or context.clients.is_aws("labeling"):
        return gathered, ()
    named: dict[str, list[str]] = {}
    for item in gathered.manifest.objects:
        named.setdefault(PurePosixPath(split_uri(item.uri)[1]).stem, []).append(item.uri)
    masks = dict(_read_masks(source, context))
    if not 0 < len(masks) <= MOST:
        raise StageError(f"[labeling] gold = {source!r} has {len(masks)} masks (.png); it must have 1 to {MOST}")
    for name in masks:
        found = named.get(name, [])
        if len(found) != 1:
            words = (
                f"several images have this name: {', '.join(found[:3])}"
                if found
                else "no image of [images] source has this name"
            )
            raise StageError(f"[labeling] gold = {source!r}: {name}.png: {words}")
    gold = tuple(GoldImage(named[name][0], mask) for name, mask in sorted(masks.items()))
    known = {item.image for item in gold}
    left = tuple(item for item in gathered.manifest.objects if item.uri not in known)
    if not left:
        raise StageError(f"[labeling] gold = {source!r} has a mask for every image, so that none is left to label")
    words = "has a known mask and scores" if len(gold) == 1 else "have known masks and score"
    context.note(f"{counted(len(gold), 'image')} {words} the workers: gold, not labeled by this job")
    return replace(gathered, manifest=replace(gathered.manifest, objects=left)), gold


def find_gold(images: Iterable[str], context: Context) -> frozenset[str]:
    """Return those of the images that have a mask in [labeling] gold.

    Raises StageError if the folder does not exist.
    """
    source = context.settings.labeling.gold
    if not source or context.clients.is_aws("labeling"):
        return frozenset()
    names = {name for name, _ in _read_masks(source, context)}
    return frozenset(uri for uri in images if PurePosixPath(split_uri(uri)[1]).stem in names)


def _read_masks(source: str, context: Context) -> Iterator[tuple[str, bytes]]:
    """Yield (stem, PNG) of every mask directly in the folder or below the prefix."""
    if is_s3_uri(source):
        bucket = split_uri(source)[0]
        for item in context.s3.list_objects(source.rstrip("/") + "/"):
            if item.key.lower().endswith(".png"):
                yield PurePosixPath(item.key).stem, context.s3.read(f"s3://{bucket}/{item.key}")[0]
        return
    folder = (context.settings.folder / Path(source).expanduser()).resolve()
    if not folder.is_dir():
        raise StageError(f"[labeling] gold: folder {folder} does not exist")
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() == ".png":
            try:
                yield path.stem, path.read_bytes()
            except OSError as error:
                raise StageError(f"[labeling] gold: {path} cannot be read: {error.strerror}") from None


def gold_files(gold: tuple[GoldImage, ...], folder: str) -> dict[str, bytes]:
    """Return the gold files that the job reads, by URI: gold.manifest, and a mask for each of its lines."""
    masks = {f"{folder}gold/{number:04}.png": item.mask for number, item in enumerate(gold)}
    lines = [{"source-ref": item.image, "gold-ref": uri} for item, uri in zip(gold, masks, strict=True)]
    body = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines).encode()
    return masks | {f"{folder}gold/gold.manifest": body} if gold else {}
