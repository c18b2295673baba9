"""The demo's folder: drawn scenes or the user's own images and masks, and a gtseg.toml over them."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from gtseg.core.images.scenes import LABELS, draw_scene
from gtseg.errors import GtsegError, SettingsError, StageError
from gtseg.pipeline.commands.demo.masks import Masks, read_masks
from gtseg.pipeline.run.places import Place

SCENES = 72
HEADER = "demo.json"
IMAGE_ENDINGS = (".jpg", ".jpeg", ".png")
SETTINGS = """# A demonstration: simulated workers label, everything runs on this machine.
# Look around with `gtseg local exec --data {data} -- gtseg status --settings {file}`.

[project]
name = "demo"

[images]
source = "images"

[labeling]
labels = {labels}
workers_per_object = {workers}
instructions = "Mark every {words} with all that belongs to it."

[dataset]
split = {{ train = 0.65, validation = 0.13, test = 0.22 }}

[train.hyperparameters]
epochs = 1000        # the time that `gtseg demo --train-seconds` gives ends it
"""


@dataclass(frozen=True)
class Project:
    """A demo ready to run. `drawn`: how many scenes were drawn now; `skipped`: images that have no mask."""

    folder: Path
    masks: Path
    labels: tuple[str, ...]
    images: int
    drawn: int = 0
    skipped: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()

    @property
    def settings(self) -> Path:
        return self.folder / "gtseg.toml"

    @property
    def data(self) -> Path:
        return self.folder / "aws"


def prepare(
    folder: Path,
    *,
    images: Path | None,
    masks: Path | None,
    labels: Sequence[str],
    progress: Callable[[int, int], None],
) -> Project:
    """The folder with images, settings and what the crowd labels from. Again on the same folder: nothing is done twice.

    Raises SettingsError for options that do not fit each other or the folder's earlier demo, StageError where no image has a
    mask, MaskError for masks that are no index PNGs.
    """
    if (images is None) != (masks is None):
        raise SettingsError(
            "--images and --masks come together: a folder of images and one of index PNGs of the same names"
        )
    if labels and images is None:
        raise SettingsError(
            "--labels names the classes of --masks; the demo's own scenes have turtle and boat"
        )
    _claim(folder, images, masks, labels)
    project = (
        _draw(folder, progress) if images is None or masks is None else _link(folder, images, masks, labels)
    )
    if not project.settings.exists():
        Place(str(folder)).write("gtseg.toml", _settings(project).encode())
    return project


def _claim(folder: Path, images: Path | None, masks: Path | None, labels: Sequence[str]) -> None:
    """Say what this folder demonstrates; refuse to mix it with another demo or a project of its own."""
    mine = {
        "images": str(images.resolve()) if images else None,
        "masks": str(masks.resolve()) if masks else None,
        "labels": list(labels),
    }
    header = folder / HEADER
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if header.exists():
            if json.loads(header.read_text()) != mine:
                raise SettingsError(
                    f"{folder} holds a demo of other images: name another folder, `gtseg demo OTHER`."
                )
        elif (folder / "gtseg.toml").exists():
            raise SettingsError(
                f"{folder} holds a project of its own (gtseg.toml): name another folder, `gtseg demo OTHER`."
            )
        else:
            Place(str(folder)).write(HEADER, json.dumps(mine).encode())
    except (OSError, ValueError) as error:
        raise GtsegError(f"{folder} cannot be used for a demo: {error}") from None


def _draw(folder: Path, progress: Callable[[int, int], None]) -> Project:
    place, drawn = Place(str(folder)), 0
    for number in range(SCENES):
        image, mask = f"images/scene-{number:02d}.jpg", f"masks/scene-{number:02d}.png"
        if not (place.entry(image) and place.entry(mask)):
            scene = draw_scene(number)
            place.write(mask, scene.png())
            place.write(image, scene.jpeg())
            drawn += 1
        progress(number + 1, SCENES)
    return Project(folder, folder / "masks", LABELS, SCENES, drawn)


def _link(folder: Path, images: Path, masks: Path, labels: Sequence[str]) -> Project:
    """The images that have a mask, linked (or copied) into the demo's folder under their own names."""
    for path, option in ((images, "--images"), (masks, "--masks")):
        if not path.is_dir():
            raise StageError(f"{option}: there is no folder {path}")
    names = [entry.name for entry in Place(str(images)).entries(IMAGE_ENDINGS)]
    found: Masks = read_masks(masks, names, labels)
    for name in found.pairs:
        _link_one(images / name, folder / "images" / name)
    skipped = tuple(name for name in names if name not in found.pairs)
    return Project(folder, masks, found.labels, len(found.pairs), skipped=skipped, remarks=found.remarks)


def _link_one(source: Path, target: Path) -> None:
    if target.exists():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source.resolve(), target)
    except OSError:
        Place(str(target.parent)).write(target.name, source.read_bytes())


def _settings(project: Project) -> str:
    words = " and every ".join(project.labels) if len(project.labels) < 4 else "object of the labels"
    return SETTINGS.format(
        data=project.data,
        file=project.settings,
        labels=json.dumps(list(project.labels), ensure_ascii=False),
        workers=3,
        words=words.replace('"', "'").replace("\\", ""),
    )
