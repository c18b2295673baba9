"""Parser of output.manifest: labeled, failed, unlabeled and unusable objects, line by line.

Format: developer guide sms-data-output, and real manifests of 2018 to 2022. Lines are UTF-8 JSON in any key order. A
failed object has `<label>-metadata` with `failure-reason` and no `<label>`; an unlabeled one is its input line
unchanged.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from gtseg.core.masks.colors import ColorMap, parse_color_map
from gtseg.errors import ManifestError, MaskError

SEGMENTATION = "groundtruth/semantic-segmentation"
MAX_LINE = 4_000_000
"""Maximum bytes of a line. Ground Truth allows 100,000 characters of input; a longer file is not a manifest."""

NOT_HUMAN = frozenset({"no", "false"})
"""Values of `human-annotated` for a model's label; Ground Truth writes "no"."""
CHOSEN = "gtseg-chosen"
"""Member of a line whose image a model chose (`gtseg label --next`). It is not a random sample: for training only."""
NO_TABLE = (
    'Give the meaning of its values or colors, --colors FILE with {"road": 1, "water": 2} or {"road": "#ff0000"}, or '
    "import the two folders: `gtseg import masks`"
)
"""Solution for labels without metadata, as written by hand for the built-in algorithm."""


@dataclass(frozen=True, slots=True)
class Labeled:
    """An object with a mask. `confidence`: the lowest of its classes, None if not given."""

    number: int
    image: str
    mask: str
    colors: ColorMap
    confidence: float | None
    group: str = ""
    """Group of images that must stay in one split, set by an import (`gtseg-group`)."""
    by_machine: bool = False
    """Whether a model labeled it (`human-annotated: no`)."""
    is_chosen: bool = False
    """Whether a model chose it to be labeled (CHOSEN)."""


@dataclass(frozen=True, slots=True)
class Failed:
    """An object that Ground Truth failed to label."""

    number: int
    image: str
    reason: str


@dataclass(frozen=True, slots=True)
class Unlabeled:
    """An object that is not labeled (yet)."""

    number: int
    image: str


@dataclass(frozen=True, slots=True)
class Unusable:
    """An object whose label is not a readable semantic segmentation mask."""

    number: int
    image: str
    reason: str


Line = Labeled | Failed | Unlabeled | Unusable


class _Metadata(msgspec.Struct, rename="kebab"):
    internal_color_map: msgspec.Raw = msgspec.Raw()
    failure_reason: str | None = None
    human_annotated: Any = None


class _Entry(msgspec.Struct, rename="kebab"):
    class_name: str
    hex_color: str | None = None
    confidence: float | None = 0.0


def split_lines(chunks: Iterable[bytes]) -> Iterator[tuple[int, bytes]]:
    """Yield (number from 1, line) of a manifest given in pieces of any size. Blank lines are skipped but counted."""
    number, rest = 0, b""
    for chunk in chunks:
        pieces = (rest + chunk).split(b"\n")
        rest = pieces.pop()
        if len(rest) > MAX_LINE:
            raise ManifestError(f"line {number + len(pieces) + 1} is longer than {MAX_LINE:,} bytes: not a manifest")
        for piece in pieces:
            number += 1
            if text := _trim(piece, number):
                yield number, text
    if text := _trim(rest, number + 1):
        yield number + 1, text


def _trim(line: bytes, number: int) -> bytes:
    return (line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line).strip()


def read_manifest(chunks: Iterable[bytes], label_attribute: str, *, table: ColorMap | None = None) -> Iterator[Line]:
    """Yield every object of a manifest, in its order, in constant memory.

    `label_attribute` may name several, separated by commas, if no line has more than one of them: two jobs' lines in
    one file. `table`: color map of labels without metadata. Raises ManifestError with the line number if a line is not
    a JSON object, names no image, or has two of the labels.
    """
    names = split_attributes(label_attribute)
    readers = [_LineReader(name, table) for name in names]
    for number, text in split_lines(chunks):
        yield readers[0](number, text) if len(readers) == 1 else _read_first(readers, number, text)


def split_attributes(label_attribute: str) -> tuple[str, ...]:
    """Split `a,b` into attribute names, without `-metadata`. AWS's names have no comma."""
    names = (name.strip().removesuffix("-metadata") for name in label_attribute.split(","))
    return tuple(dict.fromkeys(name for name in names if name)) or (label_attribute,)


def _read_first(readers: Sequence[_LineReader], number: int, text: bytes) -> Line:
    """Return the object described by the label of the line. Raises ManifestError if it has several labels."""
    found = [(reader, reader(number, text)) for reader in readers]
    described = [(reader, line) for reader, line in found if not isinstance(line, Unlabeled)]
    labeled = [reader.label for reader, line in described if isinstance(line, Labeled | Unusable)]
    if len(labeled) > 1:
        raise ManifestError(
            f"line {number} has several labels, {' and '.join(labeled)}. Choose one with --label-attribute"
        )
    best = next((line for _, line in described if not isinstance(line, Failed)), None)
    return best or next((line for _, line in described), found[0][1])


class _LineReader:
    """Decoder of the three members needed; caches repeated color maps."""

    def __init__(self, label_attribute: str, table: ColorMap | None = None) -> None:
        self.label, self._table = label_attribute, table
        fields = [
            ("image", str | None, msgspec.field(name="source-ref", default=None)),
            ("mask", str | None, msgspec.field(name=label_attribute, default=None)),
            ("metadata", _Metadata | None, msgspec.field(name=f"{label_attribute}-metadata", default=None)),
            ("chosen", Any, msgspec.field(name=CHOSEN, default=None)),
            ("group", str, msgspec.field(name="gtseg-group", default="")),
        ]
        self._decode: Any = msgspec.json.Decoder(msgspec.defstruct("Line", fields)).decode
        self._decode_map = msgspec.json.Decoder(dict[str, _Entry]).decode
        self._maps: dict[tuple[tuple[str, str, str | None], ...], ColorMap] = {}
        self._last: tuple[Any, Any, float | None] = (b"", None, None)

    def __call__(self, number: int, text: bytes) -> Line:
        try:
            line = self._decode(text)
        except msgspec.ValidationError as error:
            return self._explain(number, text, error)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise ManifestError(f"line {number} is not JSON: {error}: {_shorten(text)}") from None
        if not line.image:
            raise ManifestError(_no_image(number, text))
        return self._sort(number, line)

    def _sort(self, number: int, line: Any) -> Line:
        metadata = line.metadata
        if line.mask is None:
            if metadata is None:
                return Unlabeled(number, line.image)
            return Failed(number, line.image, metadata.failure_reason or "Ground Truth gave no reason")
        if metadata is None or not bytes(metadata.internal_color_map).startswith(b"{"):
            if self._table is not None:
                return Labeled(number, line.image, line.mask, self._table, None, line.group)
            return Unusable(
                number,
                line.image,
                f"{self.label}-metadata has no internal-color-map: the mask's classes are unknown. {NO_TABLE}",
            )
        try:
            colors, confidence = self._color_map(metadata.internal_color_map)
        except (MaskError, msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            return Unusable(number, line.image, f"its internal-color-map cannot be read: {error}")
        by_machine = str(metadata.human_annotated).lower() in NOT_HUMAN
        return Labeled(number, line.image, line.mask, colors, confidence, line.group, by_machine, bool(line.chosen))

    def _color_map(self, raw: msgspec.Raw) -> tuple[ColorMap, float | None]:
        if raw == self._last[0]:
            return self._last[1], self._last[2]
        entries = self._decode_map(raw)
        key = tuple([(k, e.class_name, e.hex_color) for k, e in entries.items()])
        if (colors := self._maps.get(key)) is None:
            colors = parse_color_map({k: (name, color) for k, name, color in key})
            self._maps[key] = colors
        confidence = lowest_confidence([e.confidence for e in entries.values()])
        self._last = raw.copy(), colors, confidence
        return colors, confidence

    def _explain(self, number: int, text: bytes, error: Exception) -> Line:
        """Return the object for a line of valid JSON with a member of the wrong type, or raise ManifestError."""
        try:
            line = msgspec.json.decode(text)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as broken:
            raise ManifestError(f"line {number} is not JSON: {broken}: {_shorten(text)}") from None
        if not isinstance(line, dict):
            raise ManifestError(f"line {number} is not a JSON object: {_shorten(text)}")
        image = line.get("source-ref")
        if not isinstance(image, str) or not image:
            raise ManifestError(_no_image(number, text))
        return Unusable(number, image, f"its label {self.label!r} is not a semantic segmentation label: {error}")


def lowest_confidence(values: list[float | None]) -> float | None:
    """Return the lowest confidence above 0, or None; masks of a single worker carry 0, which means not given."""
    return min([v for v in values if v], default=None)


def find_label_attributes(chunks: Iterable[bytes]) -> dict[str, int]:
    """Return {semantic segmentation label: number of objects, failed ones included}, most frequent first."""
    decode = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
    counts: dict[str, int] = {}
    for number, text in split_lines(chunks):
        try:
            members = decode(text)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise ManifestError(f"line {number} is not a JSON object: {error}: {_shorten(text)}") from None
        for name, raw in members.items():
            if name.endswith("-metadata") and _is_segmentation(bytes(raw)):
                label = name.removesuffix("-metadata")
                counts[label] = counts.get(label, 0) + 1
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def count_shared(chunks: Iterable[bytes], attributes: Sequence[str]) -> int:
    """Return the number of lines that have more than one of these labels."""
    decode = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
    lines = (decode(text) for _, text in split_lines(chunks))
    return sum(sum(name in line for name in attributes) > 1 for line in lines)


def find_bare_attributes(chunks: Iterable[bytes]) -> dict[str, int]:
    """Return {member: number of objects} of members that look like a mask's URI but have no metadata, most frequent
    first.
    """
    decode = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
    counts: dict[str, int] = {}
    for _, text in split_lines(chunks):
        try:
            members = decode(text)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            continue
        for name, raw in members.items():
            is_png = re.search(rb'(?i)\.png(\?[^"]*)?"$', bytes(raw)) is not None
            if name != "source-ref" and f"{name}-metadata" not in members and is_png:
                counts[name] = counts.get(name, 0) + 1
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def _is_segmentation(metadata: bytes) -> bool:
    return b'"internal-color-map"' in metadata or SEGMENTATION.encode() in metadata


def _no_image(number: int, text: bytes) -> str:
    return f"line {number} names no image: 'source-ref' is missing: {_shorten(text)}"


def _shorten(text: bytes) -> str:
    """Return the beginning of a line for a message, without terminal control characters."""
    decoded = text[:120].decode("utf-8", "replace")
    shown = "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in decoded)
    return shown + ("..." if len(text) > 120 else "")
