"""Tables of mask colors or indices and their classes: read from a file, or proposed from the values of the masks."""

from __future__ import annotations

import json
import tomllib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gtseg.core.classes import VOID, VOID_NAME
from gtseg.core.labeling.class_names import arrange_names
from gtseg.core.masks.class_values import Numbering, is_binary
from gtseg.errors import ManifestError, MaskError, SettingsError

from .files import read_text

MAX_PROPOSED = 64
"""Maximum number of values of a proposed table."""


@dataclass(frozen=True)
class ColorTable:
    """Class index (0 background, 255 void) by code: 0xRRGGBB for colors, or the stored value for indices."""

    codes: Mapping[int, int]
    classes: tuple[str, ...]
    by_index: bool

    def name_of(self, code: int) -> str:
        return str(code) if self.by_index else f"#{code:06x}"


def parse_table(entries: Mapping[str, Any], *, by_index: bool = False, merge: bool | None = None) -> ColorTable:
    """Parse `{name: "#rrggbb" | [r, g, b] | index, or a list of those}`.

    Common names of background and void in any case (also `ignore`, `unlabeled`) become 0 and 255; the others are
    classes in order. Raises SettingsError for an invalid color or index, or one of two classes.
    """
    names = arrange_names(list(entries), merge=merge)
    codes: dict[int, int] = {}
    for name, given in entries.items():
        index = names.index[name]
        for value in _values(given, by_index):
            code = _parse_code(name, value, by_index)
            if codes.setdefault(code, index) != index:
                raise SettingsError(f"color {value!r} of {name!r}: another class has the same color")
    if not names.classes:
        raise SettingsError("the color table has no class besides background and void")
    return ColorTable(codes, names.classes, by_index)


def _values(given: Any, by_index: bool) -> list[Any]:
    if isinstance(given, list) and not (not by_index and len(given) == 3 and all(isinstance(v, int) for v in given)):
        return given
    return [given]


def _parse_code(name: str, value: Any, by_index: bool) -> int:
    if by_index:
        if isinstance(value, int) and 0 <= value <= 65535:
            return value
        raise SettingsError(f"index {value!r} of {name!r}: must be a whole number from 0 to 65535")
    if isinstance(value, str) and len(value.removeprefix("#")) == 6:
        try:
            return int(value.removeprefix("#"), 16)
        except ValueError:
            pass
    if isinstance(value, list) and all(isinstance(v, int) and 0 <= v <= 255 for v in value):
        return int(value[0]) << 16 | int(value[1]) << 8 | int(value[2])
    raise SettingsError(f"color {value!r} of {name!r}: must be #rrggbb or [r, g, b]")


def table_of_numbering(numbering: Numbering) -> ColorTable:
    """Return the table of index masks that `number_masks` has interpreted."""
    return ColorTable(dict(numbering.codes), numbering.names[1:], True)


def propose_table(counts: Mapping[int, int], *, by_index: bool, void: int | None = None) -> dict[str, Any]:
    """Propose a table for the user to confirm, from the number of pixels by code.

    Index 0 or white is the background. 255 is void, except in masks of 0 and 255 only. Other values get the name
    `class-N`. Raises MaskError for too many values.
    """
    if len(counts) > MAX_PROPOSED:
        raise MaskError(
            f"{len(counts)} different colors in the masks, too many to propose a table: the masks are dithered, "
            "anti-aliased or JPEG-compressed. Specify the classes' colors (--colors FILE), possibly with --repair"
        )
    background = _background(Counter(counts), by_index)
    if by_index and void is None and not is_binary(counts) and 255 in counts:
        void = 255
    rest = sorted(code for code in counts if code not in {background, void})
    if by_index:
        names = (
            {"class-1": rest[0]} if is_binary(counts, void=void) and rest else {f"class-{code}": code for code in rest}
        )
        table: dict[str, Any] = {"background": background, **(names or {"class-1": 1})}
        return table | ({VOID_NAME: void} if void is not None else {})
    return {
        "background": f"#{background:06x}",
        **{f"class-{n}": f"#{code:06x}" for n, code in enumerate(rest, 1)},
    }


def _background(counts: Counter[int], by_index: bool) -> int:
    if by_index:
        return 0
    for candidate in (0xFFFFFF, 0x000000):
        if candidate in counts:
            return candidate
    return counts.most_common(1)[0][0]


def read_table(path: Path, *, by_index: bool = False, merge: bool | None = None) -> ColorTable:
    """Read a table from JSON or TOML (gtseg's, a SageMaker label map, RoboSat's, neat-EO's) or a `labelmap.txt`.

    A label map maps class index to stored value (contract of the built-in algorithm). The classes of RoboSat and
    neat-EO are the indices of their masks, in order. Raises SettingsError if the file is not a valid table.
    """
    document = _read_document(path)
    if "map" in document or "scale" in document:
        return table_of_label_map(document)
    if names := listed_classes(document):
        return parse_table({name: index for index, name in enumerate(names)}, by_index=True, merge=merge)
    return parse_table(document, by_index=by_index, merge=merge)


def _read_document(path: Path) -> dict[str, Any]:
    text = read_text(path, "a color table")
    try:
        if path.suffix.lower() == ".txt" or text.lstrip().startswith("# label:"):
            return parse_labelmap(text, str(path))
        if path.suffix.lower() == ".json" or text.lstrip().startswith("{"):
            document = json.loads(text)
        else:
            document = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise SettingsError(f"{path}: not a readable color table: {error}") from error
    if not isinstance(document, dict):
        raise SettingsError(f'{path}: must contain names with their colors, such as {{"road": "#ff0000"}}')
    return document


def parse_labelmap(text: str, source: str) -> dict[str, Any]:
    """Parse the `labelmap.txt` of CVAT and Datumaro: a line `name:r,g,b:parts:actions` per label.

    Raises SettingsError for an invalid line, a label with two colors, or a file without labels.
    """
    entries: dict[str, Any] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        fields = line.rsplit(":", 3)
        try:
            color = [int(part) for part in fields[1].split(",")] if fields[1].strip() else voc_color(len(entries))
            if len(fields) != 4 or len(color) != 3 or not fields[0].strip():
                raise ValueError
        except (IndexError, ValueError):
            raise SettingsError(
                f"{source}, line {number}: {line[:80]!r} must be name:r,g,b:parts:actions, as in a labelmap.txt; "
                "use the suffix .json for a JSON table"
            ) from None
        if entries.setdefault(fields[0].strip(), color) != color:
            raise SettingsError(f"{source}, line {number}: {fields[0]!r} has two colors")
    if not entries:
        raise SettingsError(f"{source}: label map without labels")
    return entries


def voc_color(number: int) -> list[int]:
    """Return the default color of a label by its number in Pascal VOC (VOCdevkit, VOClabelcolormap)."""
    bits = [(number >> shift) & 1 for shift in range(24)]
    return [sum(bits[3 * i + channel] << (7 - i) for i in range(8)) for channel in range(3)]


def listed_classes(document: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the class names of RoboSat's `[common] classes` or neat-EO's `[[classes]] title`; () if there are none."""
    common = document.get("common")
    classes = common.get("classes") if isinstance(common, dict) else document.get("classes")
    if not isinstance(classes, list) or not classes:
        return ()
    names = [entry.get("title", entry.get("name")) if isinstance(entry, dict) else entry for entry in classes]
    return tuple(map(str, names)) if all(isinstance(name, str) for name in names) else ()


def read_label_map(path: Path) -> dict[str, Any] | None:
    """Return the document of a SageMaker label map, None for any other file, which `read_table` reads or rejects."""
    try:
        document = json.loads(read_text(path, "a label map"))
    except (ManifestError, ValueError):
        return None
    return document if isinstance(document, dict) and ("map" in document or "scale" in document) else None


def label_map_for(classes: int) -> dict[str, dict[str, int]]:
    """Return the label map of masks with class indices: every class (key) is stored as itself (value)."""
    return {"map": {str(index): index for index in range(classes + 1)}}


def table_of_label_map(document: Mapping[str, Any], names: Sequence[str] = ()) -> ColorTable:
    """Convert SageMaker's `map` (class index -> stored value) or `scale` (class = floor(value / scale)).

    Raises SettingsError for a scale below 1, or names that do not match the number of classes.
    """
    if "map" in document:
        pairs = {int(value): int(index) for index, value in dict(document["map"]).items()}
    else:
        scale = int(document["scale"])
        if scale < 1:
            raise SettingsError(f"label map scale {document['scale']!r}: must be 1 or more")
        pairs = {value: value // scale for value in range(255)}
    highest = max((i for i in pairs.values() if i != VOID), default=0)
    classes = tuple(names) or tuple(f"class-{i}" for i in range(1, highest + 1))
    if len(classes) != highest:
        raise SettingsError(
            f"the label map has {highest} classes besides background, but {len(classes)} names are given"
        )
    return ColorTable({**pairs, VOID: VOID}, classes, True)
