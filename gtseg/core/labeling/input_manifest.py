"""Input manifest: which files become data objects, which are rejected and why, and the lines.

Limits (developer guide, input-data-limits and sms-input-data-input-manifest): .jpg .jpeg .png, 40 MB and 100 million
pixels per image, 20,000 objects, 100,000 characters per line, 20,000 per attribute, no key that starts with '$'. With
automated labeling an image has at most 1920 x 1080 pixels.
"""

from __future__ import annotations

import contextlib
import io
import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from posixpath import splitext
from typing import Any

import msgspec

from gtseg.core.images.formats import FORMATS, has_suffix, refuse_kind
from gtseg.core.images.header import ImageHeader
from gtseg.core.labeling.job import MAX_OBJECTS
from gtseg.core.s3_uris import find_file_problem, is_path
from gtseg.errors import ManifestError

EXTENSIONS = frozenset(extension for extensions in FORMATS.values() for extension in extensions)
MAX_BYTES = 40_000_000
MAX_PIXELS = 100_000_000
MAX_AUTOMATED = (1920, 1080)
MAX_LINE = 100_000
MAX_ATTRIBUTE = 20_000
MANIFEST_ENDINGS = (".manifest", ".jsonl", ".json")


@dataclass(frozen=True, slots=True)
class DataObject:
    """One image. `uri`: raw, never percent-encoded; `own_line`: its line in an existing manifest; `etag`: '' if
    unknown.
    """

    uri: str
    size: int
    etag: str
    own_line: str = ""
    header: ImageHeader | None = None
    problem: str = ""
    """Why it is rejected; '' if it is not."""
    remark: str = ""
    """A warning about an accepted image, or ''."""

    @property
    def line(self) -> str:
        """Its line of the input manifest."""
        return self.own_line or source_line(self.uri)


def is_image_name(name: str) -> bool:
    return has_suffix(name, EXTENSIONS)


def source_line(uri: str) -> str:
    """Return {"source-ref": uri}, compact, with non-ASCII characters unescaped as Ground Truth writes them."""
    return json.dumps({"source-ref": uri}, ensure_ascii=False, separators=(",", ":"))


def listed_object(uri: str, size: int, etag: str) -> DataObject:
    return DataObject(uri, size, etag, problem=_line_problem(source_line(uri), uri))


def parse_input_manifest(text: bytes) -> Iterator[tuple[str, str]]:
    """Return (source-ref, line) of every line of an existing manifest. Raises ManifestError with the line number."""
    try:
        lines = text.decode("utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        raise ManifestError(f"The input manifest is not UTF-8 (byte {error.start})") from None
    for number, raw in enumerate(lines, start=1):
        line = raw.rstrip("\r")
        if line.strip():
            yield _source_of(line, number), line


def _source_of(line: str, number: int) -> str:
    where = f"Input manifest line {number}"
    try:
        fields = msgspec.json.decode(line)
    except (msgspec.DecodeError, RecursionError) as error:
        raise ManifestError(f"{where} is not JSON: {error}") from None
    if not isinstance(fields, dict):
        raise ManifestError(f"{where} is not a JSON object")
    if dollar := [key for key in fields if key.startswith("$")]:
        raise ManifestError(f"{where}: keys must not start with '$': {dollar[0]}")
    source = fields.get("source-ref")
    if problem := _source_problem(source):
        raise ManifestError(f"{where}: source-ref must be the s3:// URI of an image, not {source!r}{problem}")
    if problem := _line_problem(line, *(_text_of(value) for value in fields.values())):
        raise ManifestError(f"{where} {problem}")
    return str(source)


def _source_problem(source: Any) -> str:
    """Return the end of the message about a source-ref that is not the S3 URI of an object; '' if it is."""
    if not isinstance(source, str) or is_path(source):
        return "."
    problem = find_file_problem(source)
    return f": {problem}" if problem else ""


def _text_of(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _line_problem(line: str, *attributes: str) -> str:
    if len(line) > MAX_LINE:
        return f"has {len(line):,} characters; a manifest line has at most {MAX_LINE:,}"
    longest = max((len(text) for text in attributes), default=0)
    if longest > MAX_ATTRIBUTE:
        return f"has an attribute of {longest:,} characters; the limit is {MAX_ATTRIBUTE:,}"
    return ""


def examine(item: DataObject, header: ImageHeader | str, *, automated: bool = False) -> DataObject:
    """Return the object with its header, and with its problem or remark as text."""
    if isinstance(header, str):
        return replace(item, problem=header)
    return replace(item, header=header, problem=_problem(item, header, automated), remark=_remark(item, header))


def _problem(item: DataObject, header: ImageHeader, automated: bool) -> str:
    if refusal := refuse_kind(header.format):
        return refusal
    if item.size > MAX_BYTES:
        return f"has {item.size:,} bytes; Ground Truth's limit is {MAX_BYTES:,}"
    if header.pixels > MAX_PIXELS:
        return (
            f"has {header.width} x {header.height} = {header.pixels:,} pixels; Ground Truth's limit is {MAX_PIXELS:,}"
        )
    if automated and (header.width > MAX_AUTOMATED[0] or header.height > MAX_AUTOMATED[1]):
        return f"has {header.width} x {header.height} pixels; automated labeling's limit is 1920 x 1080"
    return ""


def _remark(item: DataObject, header: ImageHeader) -> str:
    remarks = []
    if header.orientation != 1:
        remarks.append(
            f"has EXIF orientation {header.orientation}: workers see it rotated. gtseg's labeling page keeps its mask "
            "in the stored pixels; a mask from Ground Truth may not fit them. Rotate the pixels and remove the tag"
        )
    if header.mode == "CMYK":
        remarks.append("is CMYK: browsers show its colors differently or not at all. Save it as RGB")
    suffix = splitext(item.uri)[1].lower()
    if header.format in FORMATS and suffix in EXTENSIONS and suffix not in FORMATS[header.format]:
        remarks.append(f"is named {suffix} but is a {header.format} file")
    return "; ".join(remarks)


@dataclass(frozen=True)
class InputManifest:
    """Accepted objects in the order of their lines, and rejected ones."""

    objects: tuple[DataObject, ...]
    rejected: tuple[DataObject, ...] = ()
    duplicates: tuple[tuple[str, str], ...] = ()
    """Pairs (URI, URI of the first with the same bytes, or itself if the line is repeated)."""

    @property
    def body(self) -> bytes:
        body = io.BytesIO()
        body.writelines(f"{item.line}\n".encode() for item in self.objects)
        return body.getvalue()

    def side_body(self) -> bytes:
        """Return images.jsonl: one JSON line per manifest line, in its order; then the rejected with their reasons."""
        body = io.BytesIO()
        body.writelines(f"{_side_line(item)}\n".encode() for item in chain(self.objects, self.rejected))
        return body.getvalue()


def build_input_manifest(items: Iterable[DataObject]) -> InputManifest:
    """Build the manifest of examined objects, in their order. Raises ManifestError for none or more than 20,000.

    A repeated URI is dropped (Ground Truth would label and bill it again); equal bytes under two names are kept and
    reported.
    """
    good: dict[str, DataObject] = {}
    rejected: list[DataObject] = []
    duplicates: list[tuple[str, str]] = []
    first_with: dict[tuple[str, int], str] = {}
    for item in items:
        if item.problem:
            rejected.append(item)
        elif item.uri in good:
            duplicates.append((item.uri, item.uri))
        else:
            good[item.uri] = item
            same = first_with.setdefault((item.etag or item.uri, item.size), item.uri)
            if same != item.uri:
                duplicates.append((item.uri, same))
    check_count(len(good), len(rejected))
    return InputManifest(tuple(good.values()), tuple(rejected), tuple(duplicates))


def check_count(good: int, rejected: int = 0) -> None:
    if not good:
        why = f"all {rejected:,} are rejected" if rejected else "there are none (.jpg, .jpeg or .png)"
        raise ManifestError(f"No image to label: {why}")
    if good > MAX_OBJECTS:
        raise ManifestError(
            f"{good:,} images; the limit of a labeling job is {MAX_OBJECTS:,}. Split them over several runs"
        )


def _side_line(item: DataObject) -> str:
    fields: dict[str, Any] = {"source-ref": item.uri, "size": item.size, "etag": item.etag}
    if item.header:
        fields |= {"width": item.header.width, "height": item.header.height, "format": item.header.format}
        fields |= {"mode": item.header.mode, "orientation": item.header.orientation}
    if item.problem:
        fields["rejected"] = item.problem
    return json.dumps(fields, ensure_ascii=False, separators=(",", ":"))


def read_side_file(body: bytes) -> dict[tuple[str, str], ImageHeader]:
    """Return headers of an earlier images.jsonl by (URI, etag), so that images are not read again.

    Lines without a header and damaged lines are skipped; those images are read again.
    """
    headers = {}
    for line in body.splitlines():
        with contextlib.suppress(msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            seen = msgspec.json.decode(line, type=_SideEntry)
            if seen.etag:
                headers[seen.source_ref, seen.etag] = ImageHeader(
                    sys.intern(seen.format), seen.width, seen.height, sys.intern(seen.mode), seen.orientation
                )
    return headers


class _SideEntry(msgspec.Struct, rename={"source_ref": "source-ref"}):
    """Return the header in a line of images.jsonl."""

    source_ref: str
    etag: str
    width: int
    height: int
    format: str
    mode: str
    orientation: int


def count_formats(items: Sequence[DataObject]) -> dict[str, int]:
    formats = [item.header.format for item in items if item.header]
    return {name: formats.count(name) for name in sorted(set(formats))}
