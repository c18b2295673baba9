"""Merge of labels made on another server into the lines of this run, object by object.

An image has another URI there, so objects are matched by their bytes (size and MD5, from both servers' images.jsonl),
or by name if the bytes are unknown. An existing label of the run is kept unless it is to be replaced.
"""

from __future__ import annotations

import contextlib
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from gtseg.core.labeling.chained_jobs import ChainLine

MD5 = re.compile(r"[0-9a-f]{32}")
ABSENT = "the run has no such image"
OTHER = "the run's image of this name has different bytes"
SEVERAL = "several images of the run match"
STAYS = "the run has another label for it, which is kept (--replace takes this one)"


@dataclass(frozen=True, slots=True)
class KnownImage:
    """An image: its URI; its bytes and ETag, -1 and '' if unknown."""

    uri: str
    size: int = -1
    etag: str = ""

    @property
    def name(self) -> str:
        return self.uri.rsplit("/", 1)[-1]

    @property
    def key(self) -> tuple[int, str] | None:
        """Size and ETag as an identity of the content, None if the ETag cannot be an MD5."""
        return (self.size, self.etag) if self.size >= 0 and MD5.fullmatch(self.etag) else None


class _Line(msgspec.Struct, rename={"source_ref": "source-ref"}):
    source_ref: str
    size: int = -1
    etag: str = ""


def read_images_jsonl(body: bytes) -> dict[str, KnownImage]:
    """Return the images of an images.jsonl by URI; damaged lines are skipped."""
    found = {}
    for line in body.splitlines():
        with contextlib.suppress(msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            seen = msgspec.json.decode(line, type=_Line)
            found[seen.source_ref] = KnownImage(seen.source_ref, seen.size, seen.etag)
    return found


class Images:
    """The run's images, searchable by another server's description of an image.

    `digest`: returns the MD5 of an image of the run in hex. It is called if an image of the same name and size has
    another ETag: with KMS encryption or multipart upload an ETag is not an MD5.
    """

    def __init__(self, images: Iterable[KnownImage], *, digest: Callable[[str], str]) -> None:
        self._digest = digest
        self._by_uri: dict[str, KnownImage] = {}
        self._by_key: defaultdict[tuple[int, str], list[KnownImage]] = defaultdict(list)
        self._by_name: defaultdict[str, list[KnownImage]] = defaultdict(list)
        for image in images:
            self._by_uri[image.uri] = image
            self._by_name[image.name].append(image)
            if image.key:
                self._by_key[image.key].append(image)

    def find(self, image: KnownImage) -> tuple[str, str]:
        """Return (URI in the run, ''), or ('', reason) if there is no match."""
        if image.key and (same := self._by_key.get(image.key)):
            return _one_of(same, image)
        named = self._by_name.get(image.name, [])
        if not named:
            return "", ABSENT
        if image.key is None or all(own.size < 0 for own in named):
            return _one_of([self._by_uri[image.uri]] if image.uri in self._by_uri else named, image)
        close = [own for own in named if own.size == image.size and self._digest(own.uri) == image.etag]
        return _one_of(close, image) if close else ("", OTHER)


def _one_of(candidates: Sequence[KnownImage], image: KnownImage) -> tuple[str, str]:
    """Return the candidate that shares the longest path suffix with the image; none if two tie."""
    if len(candidates) == 1:
        return candidates[0].uri, ""
    ranked = sorted(candidates, key=lambda own: _common_suffix(own.uri, image.uri), reverse=True)
    if _common_suffix(ranked[0].uri, image.uri) == _common_suffix(ranked[1].uri, image.uri):
        return "", SEVERAL
    return ranked[0].uri, ""


def _common_suffix(one: str, other: str) -> int:
    """Return the number of equal path segments of two URIs, from the end."""
    pairs = zip(reversed(one.split("/")), reversed(other.split("/")), strict=False)
    return next((count for count, (a, b) in enumerate(pairs) if a != b), min(one.count("/"), other.count("/")))


@dataclass(frozen=True)
class Arrival:
    """A label for an image of the run: its mask's new URI, which ends in the mask's digest, and its metadata."""

    image: str
    mask: str
    metadata: Mapping[str, Any]
    source_uri: str = ""
    """URI of the image on the other server."""


@dataclass(frozen=True)
class Merged:
    """The run's lines with the merged labels. `taken`: {line: image}; other images by outcome."""

    entries: tuple[dict[str, Any], ...]
    taken: Mapping[int, str]
    there: tuple[str, ...]
    """Images that already have exactly these masks."""
    stays: tuple[str, ...]
    """Images whose other label is kept."""

    def count(self, label: str) -> dict[str, int]:
        """Return the LabelCounters of the lines."""
        states = [(entry.get(label), entry.get(f"{label}-metadata")) for entry in self.entries]
        labeled = sum(isinstance(mask, str) for mask, _ in states)
        failed = sum(not isinstance(mask, str) and about is not None for mask, about in states)
        return {
            "TotalLabeled": labeled,
            "HumanLabeled": labeled,
            "FailedNonRetryableError": failed,
            "Unlabeled": len(states) - labeled - failed,
        }


def merge_lines(
    lines: Sequence[ChainLine], label: str, arrivals: Mapping[str, Arrival], *, replace: bool = False
) -> Merged:
    """Replace the label of each line that has an arrival; a failed line loses its failure reason."""
    entries: list[dict[str, Any]] = []
    taken: dict[int, str] = {}
    there: list[str] = []
    stays: list[str] = []
    for number, line in enumerate(lines):
        entry, arrival = line.entry, arrivals.get(line.image)
        if arrival is None:
            pass
        elif line.state == "labeled" and str(entry[label]).rsplit("/", 1)[-1] == arrival.mask.rsplit("/", 1)[-1]:
            there.append(line.image)
        elif line.state == "labeled" and not replace:
            stays.append(line.image)
        else:
            entry = {**entry, label: arrival.mask, f"{label}-metadata": dict(arrival.metadata)}
            taken[number] = line.image
        entries.append(entry)
    return Merged(tuple(entries), taken, tuple(there), tuple(stays))
