"""Import of GeoTIFFs with polygons as chips with masks, for data sets such as SpaceNet's.

A scene of any band count and bit depth is divided into windows. The polygons that touch a window are reprojected to the
scene's coordinate reference system and burned by class; pixels without data are void (255). The stretch to 8 bits is
fitted once per scene, or taken from an earlier import, and recorded with every chip, as is its georeference.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from pathlib import Path

from gtseg.core.account import Loss

from .chips import SceneTask, chip_scene, select_bands
from .class_rules import class_names, read_rules, unclassified
from .features import read_features
from .geo_settings import GeoSettings
from .journal import run_tasks, stamp_files
from .lost_features import find_lost_features
from .outcomes import Report, Skipped
from .scene_pairs import Scene
from .scenes import color_bands, open_scene


def import_geo(
    scenes: Sequence[Scene],
    folder: Path,
    settings: GeoSettings,
    *,
    name: str,
    early: Sequence[Skipped | Loss] = (),
    limit: int | None = None,
    notify: Callable[[int, int], None] = lambda done, total: None,
    workers: int | None = None,
) -> Report:
    """Write the chips of every scene to `folder`, one task per scene. Chips of a scene share a group of the split.

    `early`: losses of the pairing. Raises ManifestError if there are features and none overlaps a scene.
    """
    rules = read_rules(settings.classes)
    classes = class_names(settings.classes)
    chosen = scenes[:limit]
    tasks = [(scene.name, SceneTask(folder, scene, settings, len(classes))) for scene in chosen]
    paths = sorted({path for scene in chosen for path in scene.features})
    files = {str(path): read_features(path, crs=settings.features_crs) for path in paths}
    losses: list[Skipped | Loss] = [*early]
    for path, features in files.items():
        losses += features.losses
        losses += unclassified(features.items, rules, path, attribute=settings.class_attribute)
    losses += [Skipped(scene.image, "beyond --limit", "scene", "note") for scene in scenes[len(chosen) :]]
    losses += note_unused_bands(chosen, settings)
    unpaired = sum(isinstance(loss, Skipped) and loss.unit == "scene" for loss in early)
    inputs = {"scene": len(scenes) + unpaired}
    if files:
        inputs["feature"] = sum(features.total for features in files.values())
    return run_tasks(
        folder,
        tasks,
        chip_scene,
        classes=classes,
        settings={
            "kind": "geo",
            **settings.__dict__,
            "stretch": settings.stretch and settings.stretch.as_json(),
        },
        name=name,
        inputs=inputs,
        stamp=lambda task: stamp_files(Path(task.scene.image), *task.scene.features),
        early=losses,
        late=lambda outcomes: find_lost_features(outcomes, files, chosen, settings, rules),
        limited=limit is not None,
        notify=notify,
        workers=workers,
    )


def note_unused_bands(scenes: Sequence[Scene], settings: GeoSettings) -> list[Loss]:
    """Return a note if the first readable scene has more bands than are used, and no bands were selected."""
    for scene in () if settings.bands or settings.stretch else scenes[:10]:
        with contextlib.suppress(Exception), open_scene(scene.image) as dataset:
            count, used = color_bands(dataset), select_bands(dataset, settings)
            if count <= len(used):
                return []
            reason = f"{count} bands, of which {', '.join(map(str, used))} are used (--bands selects others)"
            return [Loss("scene", reason, scene.image, len(scenes), "note")]
    return []
