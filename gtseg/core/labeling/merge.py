"""Labels made on another server -> the lines of this run, object by object.

The same photograph has another address there, so objects are found by their bytes (size and MD5, as both servers' images.jsonl
have them), and by their names where nobody knows the bytes. A label that the run has already stays unless it is to be replaced.
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
OTHER = "the run's image of this name has other bytes"
SEVERAL = "several images of the run may be meant"
STAYS = "the run has another label for it, which stays (--replace takes this one)"


@dataclass(frozen=True, slots=True)
class Seen:
    """What is known of an image: its address; bytes and ETag, -1 and '' where unknown."""

    uri: str
    size: int = -1
    etag: str = ""

    @property
    def name(self) -> str:
        return self.uri.rsplit("/", 1)[-1]

    @property
    def key(self) -> tuple[int, str] | None:
        """What it holds, where its ETag may be an MD5."""
        return (self.size, self.etag) if self.size >= 0 and MD5.fullmatch(self.etag) else None


class _Line(msgspec.Struct, rename={"source_ref": "source-ref"}):
    source_ref: str
    size: int = -1
    etag: str = ""


def read_seen(body: bytes) -> dict[str, Seen]:
    """The images of an images.jsonl by address; damaged lines are skipped."""
    found = {}
    for line in body.splitlines():
        with contextlib.suppress(msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            seen = msgspec.json.decode(line, type=_Line)
            found[seen.source_ref] = Seen(seen.source_ref, seen.size, seen.etag)
    return found


class Images:
    """The run's images, found by what is known of another server's.

    `digest`: MD5 of an image of the run in hex, asked where the ETag of an image of the same name and size says otherwise: where
    S3 encrypts with KMS, or took an object in parts, an ETag is no MD5.
    """

    def __init__(self, images: Iterable[Seen], *, digest: Callable[[str], str]) -> None:
        self._digest = digest
        self._by_uri: dict[str, Seen] = {}
        self._by_key: defaultdict[tuple[int, str], list[Seen]] = defaultdict(list)
        self._by_name: defaultdict[str, list[Seen]] = defaultdict(list)
        for image in images:
            self._by_uri[image.uri] = image
            self._by_name[image.name].append(image)
            if image.key:
                self._by_key[image.key].append(image)

    def find(self, image: Seen) -> tuple[str, str]:
        """(address in the run, ''), or ('', why there is none)."""
        if image.key and (same := self._by_key.get(image.key)):
            return _one_of(same, image)
        named = self._by_name.get(image.name, [])
        if not named:
            return "", ABSENT
        if image.key is None or all(own.size < 0 for own in named):
            return _one_of([self._by_uri[image.uri]] if image.uri in self._by_uri else named, image)
        close = [own for own in named if own.size == image.size and self._digest(own.uri) == image.etag]
        return _one_of(close, image) if close else ("", OTHER)


def _one_of(candidates: Sequence[Seen], image: Seen) -> tuple[str, str]:
    """The candidate whose address ends most like the image's; none where two do equally."""
    if len(candidates) == 1:
        return candidates[0].uri, ""
    ranked = sorted(candidates, key=lambda own: _alike(own.uri, image.uri), reverse=True)
    if _alike(ranked[0].uri, image.uri) == _alike(ranked[1].uri, image.uri):
        return "", SEVERAL
    return ranked[0].uri, ""


def _alike(one: str, other: str) -> int:
    """How many parts of two addresses are the same, from the end."""
    pairs = zip(reversed(one.split("/")), reversed(other.split("/")), strict=False)
    return next((count for count, (a, b) in enumerate(pairs) if a != b), min(one.count("/"), other.count("/")))


@dataclass(frozen=True)
class Arrival:
    """A label for an image of the run: its mask's new address, which ends in the mask's digest, and the mask's metadata."""

    image: str
    mask: str
    metadata: Mapping[str, Any]
    came_as: str = ""
    """The image's address on the other server."""


@dataclass(frozen=True)
class Merged:
    """The run's lines with what has arrived. `taken`: line -> image; the others' images by what became of them."""

    entries: tuple[dict[str, Any], ...]
    taken: Mapping[int, str]
    there: tuple[str, ...]
    """These very masks are the run's labels already."""
    stays: tuple[str, ...]
    """The run keeps another label."""

    def count(self, label: str) -> dict[str, int]:
        """LabelCounters of the lines."""
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
    """Each line as it is, or with the label that has arrived for its image; a failed one loses its reason to it."""
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
