"""The colours of a mask and what they mean: a table given by name, or discovered and shown for confirmation.

Exact colours only. A mask whose colours are not in the table is diagnosed (dithered, anti-aliased, JPEG noise) and
repaired only on request and only where each foreign colour has one clearly nearest entry of the table.
Pillow's `convert("P")` dithers onto the 216 web colours: it turned one Label Maker colour into the two indices
98 and 134 of a published label map. Two such indices share one class: give the table both.
"""

from __future__ import annotations

import io
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from gtseg.errors import MaskError, SettingsError

from .burning import VOID

__all__ = ["ColourTable", "colours_of", "decode_mask", "diagnose", "parse_table", "read_codes"]

MAX_DISCOVERED = 64
MAX_PIXELS = 200_000_000


@dataclass(frozen=True)
class ColourTable:
    """code -> class index (0 background, 255 void). A code is 0xRRGGBB for colours or the stored index for indices."""

    codes: Mapping[int, int]
    classes: tuple[str, ...]
    by_index: bool

    def name_of(self, code: int) -> str:
        return str(code) if self.by_index else f"#{code:06x}"


def parse_table(entries: Mapping[str, Any], *, by_index: bool = False) -> ColourTable:
    """A table from `{name: "#rrggbb" | [r, g, b] | index, or a list of those}`.

    The names `background` and `void` (any case; also `ignore`, `unlabeled`) are 0 and 255; the rest are classes in order.
    Raises SettingsError for a colour that is named twice or not understood.
    """
    codes: dict[int, int] = {}
    classes: list[str] = []
    for name, given in entries.items():
        index = _class_index(name, classes)
        for value in _values(given, by_index):
            code = _parse_code(name, value, by_index)
            if codes.setdefault(code, index) != index:
                raise SettingsError(f"colour {value!r} of {name!r}: another class has it already")
    if not classes:
        raise SettingsError("the colour table names no class beside background and void")
    return ColourTable(codes, tuple(classes), by_index)


def _class_index(name: str, classes: list[str]) -> int:
    if name.lower() == "background":
        return 0
    if name.lower() in {"void", "ignore", "unlabeled", "unlabelled"}:
        return VOID
    classes.append(name)
    if len(classes) > 253:
        raise SettingsError("more than 253 classes: the built-in algorithm takes 254 with background")
    return len(classes)


def _values(given: Any, by_index: bool) -> list[Any]:
    if isinstance(given, list) and not (
        not by_index and len(given) == 3 and all(isinstance(v, int) for v in given)
    ):
        return given
    return [given]


def _parse_code(name: str, value: Any, by_index: bool) -> int:
    if by_index:
        if isinstance(value, int) and 0 <= value <= 65535:
            return value
        raise SettingsError(f"index {value!r} of {name!r}: want a whole number from 0 to 65535")
    if isinstance(value, str) and len(value.removeprefix("#")) == 6:
        try:
            return int(value.removeprefix("#"), 16)
        except ValueError:
            pass
    if isinstance(value, list) and all(isinstance(v, int) and 0 <= v <= 255 for v in value):
        return value[0] << 16 | value[1] << 8 | value[2]
    raise SettingsError(f"colour {value!r} of {name!r}: want #rrggbb or [r, g, b]")


def read_codes(body: bytes, source: str, *, by_index: bool | None = None) -> tuple[NDArray[np.uint32], bool]:
    """(H, W) uint32 codes of a mask file, and whether they are indices.

    Palette and grey images are indices unless `by_index` is False; RGB and RGBA are colours (alpha 0 is white).
    Raises MaskError where the file is no image, too large, or float.
    """
    try:
        with Image.open(io.BytesIO(body)) as image:
            if image.width * image.height > MAX_PIXELS:
                raise MaskError(f"{source}: {image.width}x{image.height} pixels are more than {MAX_PIXELS:,}")
            image.load()
            return _codes(image, source, by_index)
    except UnidentifiedImageError as error:
        raise MaskError(f"{source}: not a readable mask: no image at all, or cut off at its head") from error
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise MaskError(f"{source}: not a readable mask: {error}") from error


def _codes(image: Image.Image, source: str, by_index: bool | None) -> tuple[NDArray[np.uint32], bool]:
    indexed = image.mode in {"1", "L", "P", "I", "I;16", "I;16B", "I;16L"}
    if image.mode == "F":
        raise MaskError(f"{source}: a mask of fractions (mode F): want whole class numbers or colours")
    if indexed and by_index is not False:
        return np.asarray(image.convert("L") if image.mode == "1" else image).astype(np.uint32) // (
            255 if image.mode == "1" else 1
        ), True
    rgba = np.asarray(image.convert("RGBA")).astype(np.uint32)
    codes = rgba[..., 0] << 16 | rgba[..., 1] << 8 | rgba[..., 2]
    return np.where(rgba[..., 3] == 0, np.uint32(0xFFFFFF), codes), False


def colours_of(codes: NDArray[np.uint32]) -> Counter[int]:
    """How many pixels have each code."""
    values, counts = np.unique(codes, return_counts=True)
    return Counter({int(v): int(c) for v, c in zip(values, counts, strict=True)})


def decode_mask(
    codes: NDArray[np.uint32], table: ColourTable, source: str, *, repair: bool = False
) -> NDArray[np.uint8]:
    """(H, W) codes -> (H, W) uint8 class indices. Raises MaskError for a code that the table lacks."""
    values, inverse = np.unique(codes, return_inverse=True)
    indices = np.zeros(len(values), np.uint8)
    foreign = [i for i, value in enumerate(values) if int(value) not in table.codes]
    for i, value in enumerate(values):
        indices[i] = table.codes.get(int(value), 0)
    if foreign:
        counts = colours_of(codes)
        missing = Counter({int(values[i]): counts[int(values[i])] for i in foreign})
        if not repair:
            raise MaskError(f"{source}: {diagnose(missing, counts.total(), table)}")
        for i in foreign:
            indices[i] = _nearest(int(values[i]), table, source)
    return indices[inverse].reshape(codes.shape)


def diagnose(missing: Counter[int], total: int, table: ColourTable) -> str:
    """Why colours are not in the table, in words, with the commonest of them."""
    share = missing.total() / max(total, 1)
    shown = ", ".join(f"{table.name_of(code)} ({count:,})" for code, count in missing.most_common(4))
    if table.by_index:
        return f"indices that the table lacks: {shown}; {share:.1%} of the pixels"
    between = sum(count for code, count in missing.items() if _is_between(code, table)) / missing.total()
    if len(missing) > 3 and between > 0.9:
        cause = "anti-aliased edges (blends of two classes' colours)"
    elif len(missing) > 50:
        cause = "noise as JPEG leaves it, or a photograph instead of a mask"
    elif all(_is_web(code) for code in missing):
        cause = 'dithered onto the web palette (Pillow\'s convert("P") does that)'
    else:
        cause = "colours that belong to no class"
    return f"{cause}: {shown}; {share:.1%} of the pixels, {len(missing)} colours that the table lacks"


def _rgb(code: int) -> NDArray[np.float64]:
    return np.array([code >> 16 & 255, code >> 8 & 255, code & 255], np.float64)


def _is_web(code: int) -> bool:
    return all(v % 51 == 0 for v in _rgb(code))


def _is_between(code: int, table: ColourTable) -> bool:
    """On the straight line between two of the table's colours, within rounding."""
    point, ends = _rgb(code), [_rgb(c) for c in table.codes]
    return any(_on_segment(point, a, b) for i, a in enumerate(ends) for b in ends[i + 1 :])


def _on_segment(point: NDArray[np.float64], a: NDArray[np.float64], b: NDArray[np.float64]) -> bool:
    along = b - a
    t = float(np.clip((point - a) @ along / max(float(along @ along), 1e-9), 0, 1))
    return bool(np.abs(a + t * along - point).max() <= 2.0)


def _nearest(code: int, table: ColourTable, source: str) -> int:
    """The class of the nearest colour; a colour almost as near to another class is not repaired."""
    if table.by_index:
        raise MaskError(f"{source}: index {code} is in no class, and an index has no nearest neighbour")
    point = _rgb(code)
    distances = sorted((float(np.linalg.norm(point - _rgb(c))), i) for c, i in table.codes.items())
    (first, index), other = distances[0], next((d for d, i in distances[1:] if i != distances[0][1]), np.inf)
    if first > 0.8 * other:
        raise MaskError(
            f"{source}: #{code:06x} lies between two classes: not repaired, its class is ambiguous"
        )
    return index


def discover_table(counts: Counter[int], *, by_index: bool) -> dict[str, Any]:
    """A table to confirm: the commonest colour, white or index 0 is background, 255 void, the rest class-1, class-2 ..."""
    if len(counts) > MAX_DISCOVERED:
        raise MaskError(
            f"{len(counts)} different colours in the masks: no table can be guessed; these are "
            "dithered, anti-aliased or JPEG masks. Give the classes' colours (--colours FILE), perhaps with --repair"
        )
    background = _background(counts, by_index)
    void = 255 if by_index and 255 in counts and len(counts) > 2 else None
    rest = sorted(code for code in counts if code not in {background, void})
    show = (lambda code: code) if by_index else (lambda code: f"#{code:06x}")
    table: dict[str, Any] = {"background": show(background)}
    table |= {f"class-{n}": show(code) for n, code in enumerate(rest, 1)}
    return table | ({"void": 255} if void is not None else {})


def _background(counts: Counter[int], by_index: bool) -> int:
    if by_index:
        return 0
    for candidate in (0xFFFFFF, 0x000000):
        if candidate in counts:
            return candidate
    return counts.most_common(1)[0][0]


def label_map_of(path: Path) -> dict[str, Any] | None:
    """The document of a SageMaker label map, None where the file is another table (or unreadable: read_table says so)."""
    try:
        document = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError):
        return None
    return document if isinstance(document, dict) and ("map" in document or "scale" in document) else None


def values_of(paths: Iterable[Path]) -> set[int]:
    """Every stored value of some index masks."""
    return {code for path in paths for code in colours_of(read_codes(path.read_bytes(), str(path))[0])}


def label_map_for(classes: int) -> dict[str, dict[str, int]]:
    """The label map of masks whose values are class indices already: key = class, value = stored (both the same)."""
    return {"map": {str(index): index for index in range(classes + 1)}}


def read_table(path: Path, *, by_index: bool = False) -> ColourTable:
    """A table from a JSON or TOML file; a SageMaker label map (`{"map": {"0": 5}}`) is one by index.

    The map's direction is class index -> stored value (contract of the built-in algorithm), however odd it reads.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
        document = json.loads(text) if path.suffix.lower() == ".json" else _toml(text)
    except (OSError, ValueError) as error:
        raise SettingsError(f"{path}: not a readable colour table: {error}") from error
    if isinstance(document, dict) and ("map" in document or "scale" in document):
        return table_of_label_map(document)
    return parse_table(document, by_index=by_index)


def _toml(text: str) -> dict[str, Any]:
    import tomllib

    return tomllib.loads(text)


def table_of_label_map(document: Mapping[str, Any], names: Sequence[str] = ()) -> ColourTable:
    """SageMaker's `map` (class index -> pixel value) or `scale` (class = floor(value / scale)) as an index table."""
    if "map" in document:
        pairs = {int(value): int(index) for index, value in dict(document["map"]).items()}
    else:
        scale = int(document["scale"])
        if scale < 1:
            raise SettingsError(f"label map scale {document['scale']!r}: want 1 or more")
        pairs = {value: value // scale for value in range(255)}
    highest = max((i for i in pairs.values() if i != VOID), default=0)
    classes = tuple(names) or tuple(f"class-{i}" for i in range(1, highest + 1))
    if len(classes) != highest:
        raise SettingsError(
            f"the label map has {highest} classes beside background, {len(classes)} names were given"
        )
    return ColourTable({**pairs, VOID: VOID}, classes, True)
