"""Folder of the demo: generated scenes or the user's own images and masks, and a gtseg.toml."""

from __future__ import annotations

import filecmp
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gtseg.core.classes import VOID_NAME
from gtseg.core.images.scenes import LABELS, draw_scene
from gtseg.core.masks import encode_palette_png
from gtseg.core.plurals import counted
from gtseg.errors import GtsegError, SettingsError, StageError
from gtseg.pipeline.commands.demo.masks import Masks, read_index_mask, read_masks
from gtseg.pipeline.run.locations import Place

SCENES = 72
HEADER = "demo.json"
GRAYS = bytes(level for level in range(256) for _ in range(3))
CONTENTS = ("gtseg.toml", "images", "masks", "aws")
"""Files and folders that a demo writes and must not find."""
OPTIONS = {
    "images": "--images",
    "masks": "--masks",
    "labels": "--labels",
    "values": "--label-values",
    "void": "--void",
}
"""Key of demo.json: option."""
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
    """Demo that is ready to run. `drawn`: number of scenes generated now; `skipped`: images without a mask."""

    folder: Path
    masks: Path
    labels: tuple[str, ...]
    images: int
    drawn: int = 0
    taught: tuple[str, ...] = ()
    """Labels of the labeling job if there are more than `labels`: the last one receives void pixels."""
    void: bool = False
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
    values: Sequence[int] = (),
    void: int | None = None,
) -> Project:
    """Prepare the folder with images, settings and the masks for the simulated workers. Repeating it changes nothing.

    Raises SettingsError for options that do not fit each other or the folder's earlier demo, StageError if no image has
    a mask, MaskError for masks that are not index PNGs.
    """
    if (images is None) != (masks is None):
        raise SettingsError(
            "--images and --masks must be given together: a folder of images and one of index PNGs with the same names"
        )
    if (labels or values or void is not None) and images is None:
        raise SettingsError(
            "--labels, --label-values and --void need --masks; the demo's own scenes have turtle and boat"
        )
    chosen = {"values": list(values), "void": void}
    if images is None or masks is None:
        _claim(folder, images, masks, labels, chosen=chosen)
        project = _draw(folder, progress)
    else:
        names, found = _read(images, masks, labels, values=values, void=void)
        _claim(folder, images, masks, labels, chosen=chosen)
        project = _link(folder, images, masks, names, found)
    if not project.settings.exists():
        Place(str(folder)).write("gtseg.toml", _settings(project).encode())
    return project


def _claim(
    folder: Path,
    images: Path | None,
    masks: Path | None,
    labels: Sequence[str],
    *,
    chosen: dict[str, Any],
) -> None:
    """Record what this folder demonstrates; refuse to mix it with another demo or with a project of the user."""
    mine = {
        "images": str(images.resolve()) if images else None,
        "masks": str(masks.resolve()) if masks else None,
        "labels": list(labels),
    } | {name: value for name, value in chosen.items() if value not in ([], None)}
    header = folder / HEADER
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if header.exists():
            _refuse_other(folder, json.loads(header.read_text()), mine)
        elif there := [name for name in CONTENTS if (folder / name).exists()]:
            raise SettingsError(
                f"{folder} has {' and '.join(there)} that no demo wrote: use a folder of its own, such as `gtseg demo "
                f"{folder / 'gtseg-demo'}`."
            )
        else:
            Place(str(folder)).write(HEADER, json.dumps(mine).encode())
    except OSError as error:
        raise GtsegError(f"{folder} cannot be used for a demo: {error.strerror}. Use another folder.") from None
    except ValueError:
        raise GtsegError(f"{header} is damaged: delete the folder, or use another one.") from None


def _refuse_other(folder: Path, stored: Any, mine: dict[str, Any]) -> None:
    """Raise SettingsError, with the options that differ, if a folder has a demo of other images or labels."""
    if not isinstance(stored, dict):
        raise ValueError
    keys = [key for key in OPTIONS if _option(key, stored.get(key)) != _option(key, mine.get(key))]
    if not keys:
        return
    then, now = (", ".join(_option(key, options.get(key)) for key in keys) for options in (stored, mine))
    raise SettingsError(
        f"{folder} has a demo with {then}; the command has {now}. Use the same options, or another folder."
    )


def _option(key: str, value: Any) -> str:
    """Return an option as it is typed; "no --masks" if it is not given."""
    if value is None or value == []:
        return f"no {OPTIONS[key]}"
    return f"{OPTIONS[key]} {','.join(map(str, value)) if isinstance(value, list) else value}"


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


def _read(
    images: Path, masks: Path, labels: Sequence[str], *, values: Sequence[int], void: int | None
) -> tuple[list[str], Masks]:
    """Return the names of the images and the facts about their masks, checked before anything is written."""
    for path, option in ((images, "--images"), (masks, "--masks")):
        if not path.is_dir():
            raise StageError(f"{option} {path}: there is no such folder")
    names = [entry.name for entry in Place(str(images)).entries(IMAGE_ENDINGS)]
    if not names:
        raise StageError(f"--images {images}: the folder has no images ({', '.join(IMAGE_ENDINGS)})")
    return names, read_masks(masks, names, labels, values=values, void=void)


def _link(folder: Path, images: Path, masks: Path, names: Sequence[str], found: Masks) -> Project:
    """Link (or copy) the images that have a mask to the demo's folder under their own names; return the project.

    Masks whose values are label numbers are used in place; others are converted in the demo's folder.
    """
    is_begun = (folder / "gtseg.toml").exists()
    places = {name: folder / "images" / name for name in found.pairs}
    added = [name for name, place in places.items() if not place.exists()]
    changed = [name for name, place in places.items() if name not in added and not _is_same(images / name, place)]
    for name in (*added, *changed):
        _link_one(images / name, places[name])
    gone = [entry.name for entry in Place(str(folder / "images")).entries(IMAGE_ENDINGS) if entry.name not in places]
    changes = {"added": added, "changed": changed, "no longer there, but kept here": gone} if is_begun else {}
    return Project(
        folder,
        masks if found.numbering.is_identity else _renumber(masks, folder, found),
        found.labels,
        len(found.pairs),
        taught=(*found.labels, VOID_NAME) if found.has_void else found.labels,
        skipped=tuple(name for name in names if name not in found.pairs),
        remarks=(*found.remarks, *_spell_changes(changes)),
        void=found.has_void,
    )


def _renumber(masks: Path, folder: Path, found: Masks) -> Path:
    """Write the masks with the labels' numbers as their values, 255 for void; return their folder."""
    source, target = Place(str(masks)), Place(str(folder / "masks"))
    for image, name in found.pairs.items():
        own = f"{image.rsplit('.', 1)[0]}.png"
        mask = found.numbering.apply(read_index_mask(source, name))
        height, width = mask.shape
        body = encode_palette_png(mask, width, height, palette=GRAYS)
        if target.entry(own) is None or target.read(own) != body:
            target.write(own, body)
    return folder / "masks"


def _is_same(source: Path, target: Path) -> bool:
    return source.samefile(target) or filecmp.cmp(source, target, shallow=False)


def _link_one(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)
    try:
        os.link(source.resolve(), target)
    except OSError:
        Place(str(target.parent)).write(target.name, source.read_bytes())


def _spell_changes(changes: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """Return a remark about images that changed since the demo began; () if none did."""
    words = [f"{counted(len(names), 'image')} {what}, like {names[0]}" for what, names in changes.items() if names]
    if not words:
        return ()
    return (
        f"since this demo began: {'; '.join(words)}. Stages that are done already do not use the change: for a new "
        "start, use another folder",
    )


def _settings(project: Project) -> str:
    words = " and every ".join(project.labels) if len(project.labels) < 4 else "object of the labels"
    words += ", and what cannot be distinguished as void," if project.void else ""
    return SETTINGS.format(
        data=project.data,
        file=project.settings,
        labels=json.dumps(list(project.taught or project.labels), ensure_ascii=False),
        workers=3,
        words=words.replace('"', "'").replace("\\", ""),
    )
