"""Pairing of images and masks, in two folders or in one.

A mask belongs to the image with the same relative path, or else with the same stem if both are unique. The stem of a
mask may have a common suffix (`frame0_mask.png` for `frame0.jpg`) or contain the image's full name (`frame0.jpg.png`).
A file is either a mask or an image.
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

COMMON_SUFFIXES = (
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
"""Suffixes of masks' stems, case-folded, in the order in which they are tried."""
IMAGE_PRIORITY = (".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp", ".png", ".gif")
"""Of files with the same stem in a folder, the one with the first of these suffixes is the image."""


@dataclass(frozen=True)
class Pair:
    """Image with its mask as [("", path)], or with (label, path) per label."""

    name: str
    image: Path
    masks: tuple[tuple[str, Path], ...]
    new: int = 1
    """Number of masks that no earlier pair has."""


@dataclass(frozen=True)
class Pairs:
    """Pairs, total number of images and masks, and what has no counterpart."""

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
    """Pair every image with its mask, and report files without a counterpart.

    `labels`: there is one mask file per label. `suffix`: suffix of the masks' stems. Raises StageError if there is no
    pair.
    """
    image_list = list_files(require_folder(images), IMAGE_SUFFIXES, follow_links=follow_links)
    mask_list = list_files(require_folder(masks), MASK_SUFFIXES, unit="mask", follow_links=follow_links)
    photos, candidates = _separate(image_list.files, mask_list.files, images, masks, suffix)
    jpegs = () if _overlap(images, masks) else list_files(masks, {".jpg", ".jpeg"}, unit="mask").files
    losses: list[Skipped | Loss] = [
        *image_list.losses,
        *(x for x in mask_list.losses if x not in image_list.losses),
    ]
    if jpegs:
        reason = "JPEG file, whose compression changes mask values; save masks as PNG"
        losses.append(Loss("mask", reason, str(jpegs[0]), len(jpegs)))
    if not photos:
        raise StageError(f"{images}: no images ({', '.join(sorted(IMAGE_SUFFIXES))}) found")
    if not candidates:
        note = f"; {jpegs[0]}: {losses[-1].reason}" if jpegs else ""
        raise StageError(f"{masks}: no masks ({', '.join(sorted(MASK_SUFFIXES))}) found{note}")
    index = _MaskIndex(masks, candidates, suffix)
    names = unique_names([path.relative_to(images).as_posix() for path in photos])
    stems, folded = Counter(path.stem for path in photos), Counter(fold(path.stem) for path in photos)
    pairs: list[Pair] = []
    used: set[Path] = set()
    for path, name in zip(photos, names, strict=True):
        relative = PurePosixPath(path.relative_to(images).as_posix())
        unique = UniqueStem(stems[path.stem] == 1, folded[fold(path.stem)] == 1)
        found = index.labels(relative, labels, unique) if labels else index.mask(relative, unique)
        if isinstance(found, str):
            losses.append(Skipped(str(path), found))
            continue
        new = len({mask for _, mask in found} - used)
        if not new:
            losses.append(Loss("image", "mask shared with another image", f"{path} with {found[0][1]}", kind="note"))
        used.update(mask for _, mask in found)
        pairs.append(Pair(name, path, tuple(found), new))
    losses += [Skipped(str(path), "no image with its name", "mask") for path in candidates if path not in used]
    if not pairs:
        ambiguous = next((x for x in losses if isinstance(x, Skipped) and AMBIGUOUS in x.reason), None)
        if ambiguous:
            raise StageError(
                f"no image in {images} has an unambiguous mask in {masks}: {ambiguous.source}: {ambiguous.reason}"
            )
        raise StageError(
            f"no image in {images} has a mask in {masks}: paths or stems must be equal, such as {photos[0].name} and "
            f"{photos[0].stem}.png, but a mask is {candidates[0].name} (if stems end in _mask: --mask-suffix _mask)"
        )
    return Pairs(tuple(pairs), len(photos), len(candidates) + len(jpegs), tuple(losses))


def _overlap(images: Path, masks: Path) -> bool:
    left, right = images.resolve(), masks.resolve()
    return left.is_relative_to(right) or right.is_relative_to(left)


def _separate(
    images: Sequence[Path], masks: Sequence[Path], image_root: Path, mask_root: Path, suffix: str | None
) -> tuple[list[Path], list[Path]]:
    """Return (images, masks) without common files if the folders are the same or one contains the other."""
    if not _overlap(image_root, mask_root):
        return list(images), list(masks)
    left, right = image_root.resolve(), mask_root.resolve()
    if left != right and right.is_relative_to(left):
        return [p for p in images if not p.resolve().is_relative_to(right)], list(masks)
    if left != right:
        return list(images), [p for p in masks if not p.resolve().is_relative_to(left)]
    stems: dict[tuple[Path, str], list[Path]] = {}
    for path in {*images, *masks}:
        stems.setdefault((path.parent, fold(path.stem)), []).append(path)
    mask_files = {path for group in stems.values() for path in _masks_of(group)}
    for parent, stem in list(stems):
        for ending in [fold(suffix)] if suffix else COMMON_SUFFIXES:
            if stem.endswith(ending) and (parent, stem.removesuffix(ending)) in stems:
                mask_files.update(stems[parent, stem])
    return [p for p in images if p not in mask_files], [p for p in masks if p in mask_files]


def _masks_of(group: Sequence[Path]) -> list[Path]:
    """Return the possible masks among files with the same stem: all but the image, by IMAGE_PRIORITY."""
    ranked = sorted(group, key=lambda path: (IMAGE_PRIORITY.index(path.suffix.lower()), path.name))
    return [path for path in ranked[1:] if path.suffix.lower() in MASK_SUFFIXES]


@dataclass(frozen=True)
class UniqueStem:
    """Whether no other image has the same stem, exactly and case-folded."""

    exact: bool
    folded: bool


AMBIGUOUS = "ambiguous: "


class _MaskIndex:
    """Index of masks by relative path and by stem without suffix, both exact and case-folded."""

    def __init__(self, root: Path, masks: Sequence[Path], suffix: str | None) -> None:
        self._root = root
        self._suffixes = tuple([fold(suffix)] if suffix else COMMON_SUFFIXES)
        self._by_key: dict[str, list[Path]] = {}
        for path in masks:
            relative = path.relative_to(root).with_suffix("").as_posix()
            for key in {relative, fold(relative), f"*{path.stem}", f"*{fold(path.stem)}"}:
                self._by_key.setdefault(key, []).append(path)

    def _find(self, keys: Sequence[str]) -> Path | str | None:
        """Return the mask of the first key that has one, the reason if it is ambiguous, or None. `*` precedes stems."""
        for key in keys:
            found = self._by_key.get(key, [])
            if len(found) == 1:
                return found[0]
            if found and not key.startswith("*"):
                return f"{AMBIGUOUS}{len(found)} masks match it, such as {found[0]} and {found[1]}"
        return None

    def mask(self, relative: PurePosixPath, unique: UniqueStem) -> list[tuple[str, Path]] | str:
        """Return [("", mask)] of an image, or the reason why it has none. Stems are compared only if unique."""
        path, stem = relative.with_suffix("").as_posix(), relative.stem
        keys = [path, str(relative), *([f"*{stem}"] if unique.exact else []), fold(path), fold(str(relative))]
        keys += [f"*{fold(stem)}", f"*{fold(relative.name)}"] if unique.folded else []
        match = self._find(keys)
        if isinstance(match, Path):
            return [("", match)]
        found = set()
        for ending in self._suffixes:
            keys = [f"{fold(path)}{ending}", *([f"*{fold(stem)}{ending}"] if unique.folded else [])]
            if isinstance(mask := self._find(keys), Path):
                found.add(mask)
        if len(found) == 1:
            return [("", found.pop())]
        if found:
            first, second = sorted(found)[:2]
            return f"{AMBIGUOUS}{len(found)} masks match it, such as {first} and {second}"
        if match is None and not unique.folded and (other := self._find([f"*{fold(stem)}"])):
            return f"{AMBIGUOUS}the mask {other} has its stem, but so do other images"
        return match or f"no mask with its path or stem in {self._root}"

    def labels(
        self, relative: PurePosixPath, labels: Sequence[str], unique: UniqueStem
    ) -> list[tuple[str, Path]] | str:
        """Return [(label, file)] of an image with one file per label, or the reason why it has none."""
        path, stem = relative.with_suffix("").as_posix(), relative.stem
        found = []
        for label in labels:
            keys = [f"{label}/{path}", f"{path}_{label}", f"{path}/{label}"]
            keys += [f"*{stem}_{label}", f"{label}/{stem}"] if unique.folded else []
            file = self._find([variant for key in keys for variant in (key, fold(key))])
            if isinstance(file, Path):
                found.append((label, file))
        return found or f"no mask of any label in {self._root}"
