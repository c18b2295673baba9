"""Pairing of scenes (GeoTIFFs) with the feature files that label them."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from gtseg.core.account import Loss
from gtseg.core.output_names import unique_names
from gtseg.errors import ManifestError

from .files import Listing, list_files
from .outcomes import Skipped

SCENE_SUFFIXES = {".tif", ".tiff", ".vrt", ".jp2"}
FEATURE_SUFFIXES = {".geojson", ".json", ".geojsonl", ".shp", ".zip"}
AUXILIARY_FILE = re.compile(r"[_-](udm2?|cloud|clouds|mask_?area|aoi|footprint)$", re.IGNORECASE)
"""Stems of files that describe a scene and contain no labels, such as SpaceNet 7's unusable data masks (UDM)."""


@dataclass(frozen=True)
class Scene:
    """A GeoTIFF (a path, or a name that GDAL opens) and its feature files."""

    image: str
    features: tuple[Path, ...] = ()
    name: str = ""
    options: tuple[tuple[str, str], ...] = ()
    """GDAL options for access to the image (credentials, endpoint). Never written to a file."""


def pair_scenes(
    images: Path | Sequence[str],
    features: Path | None,
    *,
    options: tuple[tuple[str, str], ...] = (),
    follow_links: bool = False,
) -> tuple[list[Scene], list[Skipped | Loss]]:
    """Return the scenes (of a file, a folder, or GDAL names) with their feature files, and what has no counterpart.

    A single feature file belongs to all scenes. In a folder, a scene takes the file with the same stem, with a longer
    stem (`<stem>_Buildings.geojson`), or with the same image ID: SpaceNet names
    `<product>_AOI_<n>_<city>_img<id>.tif` and `buildings_AOI_..._img<id>.geojson`. Files with equal names in several
    folders belong to the scenes in folders of the same names. Raises ManifestError if there is no scene.
    """
    losses: list[Skipped | Loss] = []
    if isinstance(images, Path):
        listing = _scene_files(images, follow_links)
        scenes, root = list(listing.files), images if images.is_dir() else images.parent
        losses += listing.losses
    else:
        scenes = [Path(name) for name in images]
        root = Path(os.path.commonpath([str(path.parent) for path in scenes] or ["."]))
    if not scenes:
        raise ManifestError(f"{images}: no GeoTIFF found (.tif, .tiff, .vrt, .jp2)")
    names = unique_names([path.relative_to(root).as_posix() for path in scenes])
    if features is None or not features.is_dir():
        shared = (features,) if features else ()
        return [Scene(str(p), shared, name, options) for p, name in zip(scenes, names, strict=True)], losses
    found = list_files(features, FEATURE_SUFFIXES, unit="feature file", follow_links=follow_links)
    losses += found.losses
    index = _FeatureFiles(features, found.files, [path.stem.lower() for path in scenes])
    paired: list[Scene] = []
    for path, name in zip(scenes, names, strict=True):
        match = index.find(path)
        if isinstance(match, Path):
            paired.append(Scene(str(path), (match,), name, options))
        else:
            losses.append(Skipped(str(path), match, "scene"))
    used = {path for scene in paired for path in scene.features}
    losses += [_unused(path) for path in found.files if path not in used]
    return paired, losses


def _scene_files(images: Path, follow_links: bool) -> Listing:
    if images.is_dir():
        return list_files(images, SCENE_SUFFIXES, unit="scene", follow_links=follow_links)
    if not images.exists():
        raise ManifestError(f"{images}: file or folder of scenes not found")
    return Listing((images,))


def _unused(path: Path) -> Loss:
    if AUXILIARY_FILE.search(path.stem):
        return Loss("feature file", "auxiliary file of a scene, without labels", str(path), kind="note")
    return Loss("feature file", "no matching scene", str(path), kind="outside")


def _image_id(stem: str) -> str:
    """Return `img1234`, or the last two numbers (`_x_y`) that vector and raster tiles of a grid share."""
    parts = stem.lower().split("_")
    if parts[-1].startswith("img"):
        return "_".join(p for p in parts if p.startswith(("img", "aoi")) or p.isdecimal()) or parts[-1]
    return "_".join(parts[-2:])


class _FeatureFiles:
    """Index of feature files by stem, by the scene whose stem is a prefix of theirs, and by image ID."""

    def __init__(self, root: Path, files: Sequence[Path], scene_stems: Sequence[str]) -> None:
        self._root = root
        self._by_stem: dict[str, list[Path]] = {}
        self._by_scene: dict[str, list[Path]] = {}
        self._by_id: dict[str, list[Path]] = {}
        longest_first = sorted(set(scene_stems), key=len, reverse=True)
        for path in files:
            stem = path.stem.lower()
            self._by_stem.setdefault(stem, []).append(path)
            if AUXILIARY_FILE.search(stem):
                continue
            self._by_id.setdefault(_image_id(stem), []).append(path)
            if scene := next((s for s in longest_first if stem.startswith((f"{s}_", f"{s}-", f"{s}."))), None):
                self._by_scene.setdefault(scene, []).append(path)

    def find(self, scene: Path) -> Path | str:
        """Return the feature file of the scene, or the reason why there is none."""
        stem = scene.stem.lower()
        for index, key in ((self._by_stem, stem), (self._by_scene, stem), (self._by_id, _image_id(stem))):
            if files := index.get(key):
                return self._nearest(scene, files)
        return f"no feature file with its name or image ID in {self._root}"

    def _nearest(self, scene: Path, files: Sequence[Path]) -> Path | str:
        """Return the file whose folders have the most names in common with the scene's."""
        folders = {part.lower() for part in scene.parent.parts}

        def common(path: Path) -> int:
            return len({part.lower() for part in path.relative_to(self._root).parent.parts} & folders)

        ranked = sorted(files, key=common, reverse=True)
        if len(ranked) == 1 or common(ranked[0]) > common(ranked[1]):
            return ranked[0]
        return f"{len(files)} feature files match it, such as {ranked[0]} and {ranked[1]}; keep one in the folder"
