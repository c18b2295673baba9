"""The colours of a mask and what they mean: a table given by name, or discovered and shown for confirmation.

Exact colours only. A mask whose colours are not in the table is diagnosed (dithered, anti-aliased, JPEG noise) and
repaired only on request and only where each foreign colour has one clearly nearest entry of the table.
Pillow's `convert("P")` dithers onto the 216 web colours: it turned one Label Maker colour into the two indices
98 and 134 of a published label map. Two such indices share one class: give the table both.
"""

from __future__ import annotations

import io
import json
import tomllib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from gtseg.core.classes import VOID_NAME
from gtseg.core.images.formats import MASK_FORMATS
from gtseg.core.labeling.class_names import arrange_names
from gtseg.core.masks.class_values import Numbering, is_binary
from gtseg.errors import ManifestError, MaskError, SettingsError

from .files import read_text
from .rasterization import VOID

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


def parse_table(entries: Mapping[str, Any], *, by_index: bool = False, merge: bool | None = None) -> ColourTable:
    """A table from `{name: "#rrggbb" | [r, g, b] | index, or a list of those}`.

    Usual names of background and void (any case; also `ignore`, `unlabeled`) are 0 and 255; the rest are classes in order.
    Raises SettingsError for a color that is named twice or not understood.
    """
    names = arrange_names(list(entries), merge=merge)
    codes: dict[int, int] = {}
    for name, given in entries.items():
        index = names.index[name]
        for value in _values(given, by_index):
            code = _parse_code(name, value, by_index)
            if codes.setdefault(code, index) != index:
                raise SettingsError(f"color {value!r} of {name!r}: another class has it already")
    if not names.classes:
        raise SettingsError("the color table names no class beside background and void")
    return ColourTable(codes, names.classes, by_index)


def table_of_numbering(numbering: Numbering) -> ColourTable:
    """The table of index masks whose values mean what `number_masks` says."""
    return ColourTable(dict(numbering.codes), numbering.names[1:], True)


def _values(given: Any, by_index: bool) -> list[Any]:
    if isinstance(given, list) and not (not by_index and len(given) == 3 and all(isinstance(v, int) for v in given)):
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
        return int(value[0]) << 16 | int(value[1]) << 8 | int(value[2])
    raise SettingsError(f"colour {value!r} of {name!r}: want #rrggbb or [r, g, b]")


def read_codes(body: bytes, source: str, *, by_index: bool | None = None) -> tuple[NDArray[np.uint32], bool]:
    """(H, W) uint32 codes of a mask file, and whether they are indices.

    Palette and grey images are indices unless `by_index` is False; RGB and RGBA are colours (alpha 0 is white).
    Raises MaskError where the file is no image, too large, or float.
    """
    try:
        with Image.open(io.BytesIO(body), formats=MASK_FORMATS) as image:
            if image.width * image.height > MAX_PIXELS:
                raise MaskError(f"{source}: {image.width}x{image.height} pixels are more than {MAX_PIXELS:,}")
            if getattr(image, "n_frames", 1) > 1 and image.format != "MPO":
                raise MaskError(f"{source}: {image.n_frames} frames: save the one that is the mask")  # type: ignore[attr-defined]
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


def decode_mask(codes: NDArray[np.uint32], table: ColourTable, source: str) -> NDArray[np.uint8]:
    """(H, W) codes -> (H, W) uint8 class indices. Raises MaskError for a code that the table lacks."""
    values, inverse = np.unique(codes, return_inverse=True)
    foreign = [int(value) for value in values if int(value) not in table.codes]
    if foreign:
        counts = colours_of(codes)
        missing = Counter({value: counts[value] for value in foreign})
        raise MaskError(f"{source}: {diagnose(missing, counts.total(), table)}")
    indices = np.array([table.codes[int(value)] for value in values], np.uint8)
    return indices[inverse].reshape(codes.shape)


@dataclass(frozen=True)
class Repaired:
    """(H, W) uint8 class indices; how many foreign pixels went to the nearest class, and how many to void."""

    mask: NDArray[np.uint8]
    nearest: int
    void: int


def repair_mask(codes: NDArray[np.uint32], table: ColourTable) -> Repaired:
    """As `decode_mask`, but a foreign color goes to the class whose color is clearly nearest, any other code to void."""
    values, inverse, counts = np.unique(codes, return_inverse=True, return_counts=True)
    indices = np.zeros(len(values), np.uint8)
    nearest = void = 0
    for i, (value, count) in enumerate(zip(map(int, values), map(int, counts), strict=True)):
        if value in table.codes:
            indices[i] = table.codes[value]
            continue
        found = _nearest(value, table)
        indices[i] = VOID if found is None else found
        nearest, void = nearest + count * (found is not None), void + count * (found is None)
    return Repaired(indices[inverse].reshape(codes.shape), nearest, void)


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


def _nearest(code: int, table: ColourTable) -> int | None:
    """The class of the nearest color; None where another class is almost as near, and for an index, which has no neighbors."""
    if table.by_index:
        return None
    point = _rgb(code)
    distances = sorted((float(np.linalg.norm(point - _rgb(c))), i) for c, i in table.codes.items())
    (first, index), other = distances[0], next((d for d, i in distances[1:] if i != distances[0][1]), np.inf)
    return index if first <= 0.8 * other else None


def discover_table(counts: Mapping[int, int], *, by_index: bool, void: int | None = None) -> dict[str, Any]:
    """A table to confirm: index 0 or white is background, 255 is void (but not beside 0 alone), the rest is named by its value.

    Raises MaskError for more values than a table can name.
    """
    if len(counts) > MAX_DISCOVERED:
        raise MaskError(
            f"{len(counts)} different colors in the masks: no table can be guessed; these are "
            "dithered, anti-aliased or JPEG masks. Give the classes' colors (--colors FILE), perhaps with --repair"
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


def label_map_of(path: Path) -> dict[str, Any] | None:
    """The document of a SageMaker label map, None where the file is another table (or unreadable: read_table says so)."""
    try:
        document = json.loads(read_text(path, "a label map"))
    except (ManifestError, ValueError):
        return None
    return document if isinstance(document, dict) and ("map" in document or "scale" in document) else None


def values_of(paths: Iterable[Path]) -> set[int]:
    """Every stored value of some index masks."""
    return {code for path in paths for code in colours_of(read_codes(path.read_bytes(), str(path))[0])}


def label_map_for(classes: int) -> dict[str, dict[str, int]]:
    """The label map of masks whose values are class indices already: key = class, value = stored (both the same)."""
    return {"map": {str(index): index for index in range(classes + 1)}}


def read_table(path: Path, *, by_index: bool = False, merge: bool | None = None) -> ColourTable:
    """A table from JSON or TOML (ours, a SageMaker label map, RoboSat's, neat-EO's) or CVAT's `labelmap.txt`.

    A label map's direction is class index -> stored value (contract of the built-in algorithm), however odd it reads.
    RoboSat's and neat-EO's classes are the indices of their masks, in order.
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
        raise SettingsError(f'{path}: want names with their colors, like {{"road": "#ff0000"}}')
    return document


def parse_labelmap(text: str, source: str) -> dict[str, Any]:
    """CVAT's and Datumaro's `labelmap.txt`: a line `name:r,g,b:parts:actions` per label. Raises SettingsError."""
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
                f"{source}, line {number}: {line[:80]!r} is no line of a labelmap.txt: want name:r,g,b:parts:actions, or a JSON table"
            ) from None
        if entries.setdefault(fields[0].strip(), color) != color:
            raise SettingsError(f"{source}, line {number}: {fields[0]!r} has two colors")
    if not entries:
        raise SettingsError(f"{source}: a label map without labels")
    return entries


def voc_color(number: int) -> list[int]:
    """Pascal VOC's color of a label by its number, which label maps without colors mean (VOCdevkit, VOClabelcolormap)."""
    bits = [(number >> shift) & 1 for shift in range(24)]
    return [sum(bits[3 * i + channel] << (7 - i) for i in range(8)) for channel in range(3)]


def listed_classes(document: Mapping[str, Any]) -> tuple[str, ...]:
    """The class names in index order of RoboSat's `[common] classes` or neat-EO's `[[classes]] title`; () for another document."""
    common = document.get("common")
    classes = common.get("classes") if isinstance(common, dict) else document.get("classes")
    if not isinstance(classes, list) or not classes:
        return ()
    names = [entry.get("title", entry.get("name")) if isinstance(entry, dict) else entry for entry in classes]
    return tuple(map(str, names)) if all(isinstance(name, str) for name in names) else ()


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
        raise SettingsError(f"the label map has {highest} classes beside background, {len(classes)} names were given")
    return ColourTable({**pairs, VOID: VOID}, classes, True)
