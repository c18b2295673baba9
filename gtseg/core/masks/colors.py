"""Meaning of colors: one mask's internal-color-map, and the class table that all masks of a dataset share."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from gtseg.core.classes import BACKGROUND, MAX_CLASSES, VOID, VOID_NAME
from gtseg.core.masks.names import fold, group_alike, is_background
from gtseg.core.plurals import counted
from gtseg.errors import MaskError

WHITE = 0xFFFFFF
SPARE_COLORS = (
    0x2CA02C,
    0x1F77B4,
    0xFF7F0E,
    0xD62728,
    0x9467BD,
    0x8C564B,
    0xE377C2,
    0x7F7F7F,
    0xBCBD22,
    0x17BECF,
    0x98DF8A,
    0xAEC7E8,
    0xFFBB78,
    0xFF9896,
    0xC5B0D5,
    0xC49C94,
    0xF7B6D2,
    0xC7C7C7,
    0xDBDB8D,
    0x9EDAE5,
)
"""Colors for classes whose map has none: Ground Truth's order, then d3's category20."""
_HEX = re.compile(r"#?([0-9a-fA-F]{6})")


@dataclass(frozen=True, slots=True)
class MapEntry:
    """One class of one mask: its pixel value, name, and color 0xRRGGBB (None in maps of 2018-2019)."""

    index: int
    name: str
    color: int | None


@dataclass(frozen=True, slots=True)
class ColorMap:
    """One mask's internal-color-map, in index order."""

    entries: tuple[MapEntry, ...]

    @property
    def has_colors(self) -> bool:
        return self.entries[0].color is not None

    @property
    def has_background(self) -> bool:
        return any(is_background(entry.name) for entry in self.entries)

    def by_color(self) -> dict[int, list[MapEntry]]:
        table: dict[int, list[MapEntry]] = {}
        for entry in self.entries:
            if entry.color is not None:
                table.setdefault(entry.color, []).append(entry)
        return table

    def by_index(self) -> dict[int, MapEntry]:
        return {entry.index: entry for entry in self.entries}


@dataclass(frozen=True, slots=True)
class Classes:
    """The dataset's class table: index -> name and display color 0xRRGGBB. Index 0 is BACKGROUND."""

    names: tuple[str, ...]
    colors: tuple[int, ...]
    void: tuple[str, ...] = ()
    """Names whose pixels become 255, excluded from training and from every score. They are not classes."""
    aliases: tuple[tuple[str, str], ...] = ()
    """Pairs (name in a map, its class): other spellings, and the background's usual names."""

    def index(self, name: str) -> int:
        if name in self.names and name not in self.void:
            return self.names.index(name)
        if name in self.void or name == VOID_NAME:
            return VOID
        return self.names.index(next((known for alias, known in self.aliases if alias == name), name))

    def name(self, index: int) -> str:
        return VOID_NAME if index == VOID else self.names[index]

    @property
    def palette(self) -> bytes:
        """Palette of 768 bytes as Ground Truth writes it: classes in order, the rest white."""
        flat = b"".join(color.to_bytes(3, "big") for color in self.colors)
        return flat + b"\xff" * (768 - len(flat))


def parse_color_map(entries: Mapping[str, tuple[str, str | None]]) -> ColorMap:
    """Parse `{"1": ("cat", "#2ca02c")}`. Raises MaskError with the invalid entry."""
    if not entries:
        raise MaskError("the map is empty")
    parsed = [MapEntry(_index(key), _name(key, name), _color(key, color)) for key, (name, color) in entries.items()]
    parsed.sort(key=lambda entry: entry.index)
    if len({entry.index for entry in parsed}) < len(parsed):
        raise MaskError(f"two entries have the same index: {', '.join(entries)}")
    without = [entry.name for entry in parsed if entry.color is None]
    if without and len(without) < len(parsed):
        raise MaskError(f"some classes have a hex-color and some have none: {', '.join(without)}")
    return ColorMap(tuple(parsed))


def _index(key: str) -> int:
    if not (key.isascii() and key.isdigit() and int(key) <= 255):
        raise MaskError(f"key {key!r} is not a pixel value 0 to 255")
    return int(key)


def _name(key: str, name: str) -> str:
    if not name:
        raise MaskError(f"entry {key!r} has no class-name")
    return name


def _color(key: str, color: str | None) -> int | None:
    if color is None:
        return None
    if (match := _HEX.fullmatch(color.strip())) is None:
        raise MaskError(f"entry {key!r}: hex-color {color!r} is not #rrggbb")
    return int(match[1], 16)


def merge_classes(maps: Iterable[ColorMap], *, void: Sequence[str] = (), merge_alike: bool = False) -> Classes:
    """Return one table of all class names: BACKGROUND, then the others in order of appearance (by map, then index).

    The background's usual names are index 0. Classes named like one of `void` (in any case) are void: their pixels
    become 255. With `merge_alike`, names that differ only in case, spaces or Unicode form are one class, named as the
    first of them. Raises MaskError if there are more classes than the algorithm accepts.
    """
    found: dict[str, int | None] = {BACKGROUND: None}
    left_out = {fold(name) for name in void}
    nothing: dict[str, None] = {}
    first: dict[str, str] = {}
    aliases: dict[str, str] = {}
    for entry in (entry for colors in maps for entry in colors.entries):
        name = BACKGROUND if is_background(entry.name) else entry.name
        if fold(name) in left_out:
            nothing[entry.name] = None
            continue
        if merge_alike and name != BACKGROUND:
            name = first.setdefault(fold(name), name)
        if name != entry.name:
            aliases[entry.name] = name
        if found.get(name) is None:
            found[name] = entry.color
    if len(found) > MAX_CLASSES:
        raise MaskError(
            f"{counted(len(found), 'class', 'classes')} with the background; the algorithm accepts {MAX_CLASSES}"
        )
    return Classes(tuple(found), tuple(_choose_colors(found)), tuple(nothing), tuple(aliases.items()))


def alike_classes(maps: Iterable[ColorMap], *, void: Sequence[str] = ()) -> list[tuple[str, ...]]:
    """Return class names that differ only in case, spaces or Unicode form; background and void are handled
    separately.
    """
    left_out = {fold(name) for name in void}
    names = (entry.name for colors in maps for entry in colors.entries)
    return group_alike(name for name in names if not is_background(name) and fold(name) not in left_out)


def _choose_colors(found: Mapping[str, int | None]) -> Iterable[int]:
    taken = {WHITE} | {color for color in found.values() if color is not None}
    spare = iter([color for color in SPARE_COLORS if color not in taken])
    for name, color in found.items():
        if color is not None:
            yield color
        else:
            yield WHITE if name == BACKGROUND else next(spare, 0x7F7F7F)


def hex_color(color: int) -> str:
    return f"#{color:06x}"
