"""Which mask belongs to which image: two folders, or one folder that holds both.

Pairs are found by relative path, then by stem where one mask alone has it; a mask's stem may end in a usual suffix
(`frame0_mask.png` of `frame0.jpg`) or hold the image's whole name (`frame0.jpg.png`). A file that serves as a mask is not
also a photograph.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from gtseg.core.account import Loss
from gtseg.core.images.formats import IMAGE_SUFFIXES, MASK_SUFFIXES
from gtseg.core.output_names import fold, unique_names
from gtseg.errors import StageError

from .files import list_files, require_folder
from .outcomes import Skipped

USUAL_SUFFIXES = (
    "_mask",
    "-mask",
    "_masks",
    ".mask",
    "_label",
    "-label",
    "_labels",
    "_gt",
    "-gt",
    "_seg",
    "_segmentation",
    "_annotation",
    "_annotations",
    "_groundtruth",
    "_ground_truth",
    "_labelids",
    "_labeltrainids",
    "_trainids",
    "_l",
    "_lab",
    "_class",
)
"""Endings of masks' stems, case-folded, in the order in which they are tried."""
PHOTO_FIRST = (".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp", ".png", ".gif")
"""Of two files of one stem in one folder the earlier kind is the photograph."""


@dataclass(frozen=True)
class Pair:
    """An image and its mask file, or the files of its labels."""

    name: str
    image: Path
    masks: tuple[tuple[str, Path], ...]
    new: int = 1
    """How many of the masks no earlier pair has."""


@dataclass(frozen=True)
class Pairs:
    """The pairs, how many images and masks there were, and what pairs with nothing."""

    pairs: tuple[Pair, ...]
    images: int
    masks: int
    losses: tuple[Skipped | Loss, ...]


def find_pairs(
    images: Path,
    masks: Path,
    *,
    labels: Sequence[str] = (),
    suffix: str | None = None,
    follow_links: bool = False,
) -> Pairs:
    """Every image with its mask; images without one, masks without an image and odd files are reported.

    `labels` says that there is one file per label; `suffix` what masks' stems end in. Raises StageError where nothing pairs.
    """
    image_list = list_files(require_folder(images), IMAGE_SUFFIXES, follow_links=follow_links)
    mask_list = list_files(_require_masks(masks), MASK_SUFFIXES, unit="mask", follow_links=follow_links)
    photos, candidates = _apart(image_list.files, mask_list.files, images, masks, suffix)
    jpegs = () if _overlap(images, masks) else list_files(masks, {".jpg", ".jpeg"}, unit="mask").files
    losses: list[Skipped | Loss] = [
        *image_list.losses,
        *(x for x in mask_list.losses if x not in image_list.losses),
    ]
    if jpegs:
        words = "a JPEG among the masks: JPEG changes a mask's values, save masks as PNG"
        losses.append(Loss("mask", words, str(jpegs[0]), len(jpegs)))
    if not photos:
        raise StageError(f"{images}: no images ({', '.join(sorted(IMAGE_SUFFIXES))}) found")
    if not candidates:
        told = f"; {losses[-1].reason}: {jpegs[0]}" if jpegs else ""
        raise StageError(f"{masks}: no masks ({', '.join(sorted(MASK_SUFFIXES))}) found{told}")
    index = _MaskIndex(masks, candidates, suffix)
    names = unique_names([path.relative_to(images).as_posix() for path in photos])
    stems, folded = Counter(path.stem for path in photos), Counter(fold(path.stem) for path in photos)
    pairs: list[Pair] = []
    used: set[Path] = set()
    for path, name in zip(photos, names, strict=True):
        relative = PurePosixPath(path.relative_to(images).as_posix())
        alone = Alone(stems[path.stem] == 1, folded[fold(path.stem)] == 1)
        mine = index.labels(relative, labels, alone) if labels else index.mask(relative, alone)
        if isinstance(mine, str):
            losses.append(Skipped(str(path), mine))
            continue
        new = len({mask for _, mask in mine} - used)
        if not new:
            losses.append(Loss("image", "its mask serves another image, too", f"{path} with {mine[0][1]}", kind="note"))
        used.update(mask for _, mask in mine)
        pairs.append(Pair(name, path, tuple(mine), new))
    losses += [Skipped(str(path), "no image of its name", "mask") for path in candidates if path not in used]
    if not pairs:
        ambiguous = next((x for x in losses if isinstance(x, Skipped) and "could be" in x.reason), None)
        if ambiguous:
            raise StageError(
                f"no image of {images} has a mask of its own in {masks}: {ambiguous.source}: {ambiguous.reason}"
            )
        raise StageError(
            f"no image of {images} has a mask in {masks}: equal paths or equal stems are needed, such as "
            f"{photos[0].name} and {photos[0].stem}.png; the masks are named like {candidates[0].name} "
            "(--mask-suffix _mask where their stems end in _mask)"
        )
    return Pairs(tuple(pairs), len(photos), len(candidates) + len(jpegs), tuple(losses))


def _require_masks(masks: Path) -> Path:
    if not masks.is_dir():
        raise StageError(f"{masks}: no such folder of masks")
    return masks


def _overlap(images: Path, masks: Path) -> bool:
    left, right = images.resolve(), masks.resolve()
    return left.is_relative_to(right) or right.is_relative_to(left)


def _apart(
    images: Sequence[Path], masks: Sequence[Path], left: Path, right: Path, suffix: str | None
) -> tuple[list[Path], list[Path]]:
    """(photographs, masks): where one folder is the other or holds it, no file is both."""
    if not _overlap(left, right):
        return list(images), list(masks)
    inner, outer = left.resolve(), right.resolve()
    if inner != outer and outer.is_relative_to(inner):  # masks lie below the images
        return [p for p in images if not p.resolve().is_relative_to(outer)], list(masks)
    if inner != outer:
        return list(images), [p for p in masks if not p.resolve().is_relative_to(inner)]
    stems: dict[tuple[Path, str], list[Path]] = {}
    for path in {*images, *masks}:
        stems.setdefault((path.parent, fold(path.stem)), []).append(path)
    serving = {path for group in stems.values() for path in _masks_of(group)}
    for parent, stem in list(stems):
        for ending in [fold(suffix)] if suffix else USUAL_SUFFIXES:
            if stem.endswith(ending) and (parent, stem.removesuffix(ending)) in stems:
                serving.update(stems[parent, stem])
    return [p for p in images if p not in serving], [p for p in masks if p in serving]


def _masks_of(group: Sequence[Path]) -> list[Path]:
    """Of files of one stem: all but the first photograph-like one, where they can be masks at all."""
    ranked = sorted(group, key=lambda path: (PHOTO_FIRST.index(path.suffix.lower()), path.name))
    return [path for path in ranked[1:] if path.suffix.lower() in MASK_SUFFIXES]


@dataclass(frozen=True)
class Alone:
    """Whether an image alone has its stem: to the letter, and case-folded."""

    to_the_letter: bool
    folded: bool


class _MaskIndex:
    """Masks by relative path and by stem, to the letter and case-folded, without their suffix."""

    def __init__(self, root: Path, masks: Sequence[Path], suffix: str | None) -> None:
        self._where = root
        self._suffixes = ("", *([fold(suffix)] if suffix else USUAL_SUFFIXES))
        self._by_key: dict[str, list[Path]] = {}
        for path in masks:
            relative = path.relative_to(root).with_suffix("").as_posix()
            for key in {relative, fold(relative), f"*{path.stem}", f"*{fold(path.stem)}"}:
                self._by_key.setdefault(key, []).append(path)

    def _one(self, keys: Sequence[str]) -> Path | str | None:
        for key in keys:
            found = self._by_key.get(key, [])
            if len(found) == 1:
                return found[0]
            if found and not key.startswith("*"):
                return f"{len(found)} masks could be its own: {found[0]}, {found[1]}"
        return None

    def mask(self, relative: PurePosixPath, alone: Alone) -> list[tuple[str, Path]] | str:
        """[("", the mask)] of an image, or why it has none. Its stem decides where no other image has it."""
        path, stem = relative.with_suffix("").as_posix(), relative.stem
        places = [path, str(relative), *([f"*{stem}"] if alone.to_the_letter else []), fold(path)]
        places += [
            fold(str(relative)),
            *([f"*{fold(stem)}", f"*{fold(relative.name)}"] if alone.folded else []),
        ]
        exact = self._one(places)
        if isinstance(exact, Path):
            return [("", exact)]
        found = set()
        for ending in self._suffixes[1:]:
            keys = [f"{fold(path)}{ending}", *([f"*{fold(stem)}{ending}"] if alone.folded else [])]
            if isinstance(mask := self._one(keys), Path):
                found.add(mask)
        if len(found) == 1:
            return [("", found.pop())]
        if found:
            first, second = sorted(found)[:2]
            return f"{len(found)} masks could be its own: {first}, {second}"
        if exact is None and not alone.folded and (other := self._one([f"*{fold(stem)}"])):
            return f"several images have its stem, so that a mask of that stem ({other}) could be any one's"
        return exact or f"no mask with its path or stem in {self._where}"

    def labels(self, relative: PurePosixPath, labels: Sequence[str], alone: Alone) -> list[tuple[str, Path]] | str:
        """[(label, file)] of an image that has one file per label, or why it has none."""
        path, stem = relative.with_suffix("").as_posix(), relative.stem
        found = []
        for label in labels:
            keys = [f"{label}/{path}", f"{path}_{label}", f"{path}/{label}"]
            keys += [f"*{stem}_{label}", f"{label}/{stem}"] if alone.folded else []
            file = self._one([variant for key in keys for variant in (key, fold(key))])
            if isinstance(file, Path):
                found.append((label, file))
        return found or f"no mask of any label in {self._where}"
