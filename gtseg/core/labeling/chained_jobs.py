"""Chained labeling jobs: the input manifest of a job from the output manifest of an earlier one.

Rules of the developer guide (sms-reusing-data, sms-verification-data): with the same label attribute only lines without
it are labeled; with a new one all are, except lines that have it already. Failed and unlabeled objects must not be in
the input of an adjustment or verification job: each such line would fail there, and may be billed.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import msgspec

from gtseg.core.labeling.output_manifest import NOT_HUMAN, split_lines
from gtseg.core.masks.names import is_background
from gtseg.errors import ManifestError

REVIEW = "review"
"""Attribute under which an adjustment job's input carries the comments on a mask."""


@dataclass(frozen=True)
class ChainLine:
    """One line of an output manifest, unchanged, and the state of its object."""

    image: str
    entry: dict[str, Any]
    state: Literal["labeled", "failed", "unlabeled"]
    number: int = 0
    """Line number in its manifest, from 1; 0 if unknown."""


@dataclass(frozen=True)
class ChainedInput:
    """An input manifest. `todo`: the images that workers get, in its order."""

    body: bytes
    todo: tuple[str, ...]


def read_chain(body: bytes, label: str) -> list[ChainLine]:
    """Return all lines. Raises ManifestError with the line number if one is not a JSON object or names no image."""
    return [_read_line(number, text, label) for number, text in split_lines([body])]


def _read_line(number: int, text: bytes, label: str) -> ChainLine:
    try:
        entry = msgspec.json.decode(text)  # strict decoder: whatever it accepts can be encoded as JSON in UTF-8 again
    except (ValueError, RecursionError) as error:
        raise ManifestError(f"line {number} is not JSON: {error}") from None
    image = entry.get("source-ref") if isinstance(entry, dict) else None
    if not isinstance(image, str) or not image:
        raise ManifestError(f"line {number} names no image: 'source-ref' is missing")
    metadata = entry.get(f"{label}-metadata")
    if isinstance(entry.get(label), str) and isinstance(metadata, dict):
        return ChainLine(image, entry, "labeled", number)
    return ChainLine(image, entry, "failed" if metadata is not None else "unlabeled", number)


def continue_lines(lines: Iterable[ChainLine], label: str, redo: Collection[str] = ()) -> ChainedInput:
    """Return the objects for a job of the same attribute; labeled ones keep their label and are not labeled again.

    `redo`: images whose label is removed. A failed object loses its failure reason and is labeled again.
    """
    entries, todo = [], []
    for line in lines:
        if line.state == "labeled" and line.image not in redo:
            entries.append(line.entry)
        else:
            entries.append(_without(line.entry, label))
            todo.append(line.image)
    return ChainedInput(write_lines(entries), tuple(todo))


def adjust_lines(
    lines: Iterable[ChainLine],
    label: str,
    *,
    attribute: str,
    only: Mapping[str, Sequence[str]] | None = None,
) -> ChainedInput:
    """Return the labeled objects for an adjustment job that writes `attribute`: all of them, or `only` these images.

    With `only`, the other images carry their mask under the new attribute already: Ground Truth leaves such lines
    unchanged, and the output holds every object under one attribute. Comments of `only` are added in the form of a
    label verification, which the worker sees.
    """
    entries, todo = [], []
    for line in lines:
        if line.state != "labeled":
            continue
        entry = _with_one_label(line.entry, label)
        if only is None or line.image in only:
            todo.append(line.image)
            entry |= _review(only[line.image] if only else ())
        else:
            entry |= {attribute: entry[label], f"{attribute}-metadata": entry[f"{label}-metadata"]}
        entries.append(entry)
    return ChainedInput(write_lines(entries), tuple(todo))


def is_by_machine(metadata: Mapping[str, Any]) -> bool:
    """Return whether a model made the label that this metadata describes."""
    return str(metadata.get("human-annotated", "")).lower() in NOT_HUMAN


def machine_lines(lines: Iterable[ChainLine], label: str) -> list[ChainLine]:
    """Return the lines that a model labeled."""
    return [line for line in lines if line.state == "labeled" and is_by_machine(line.entry[f"{label}-metadata"])]


def _review(comments: Sequence[str]) -> dict[str, Any]:
    """Return the members added to an image's line (developer guide, sms-data-output, "Label verification job
    output").
    """
    if not comments:
        return {}
    metadata = {
        "class-name": "bad",
        "type": "groundtruth/label-verification",
        "human-annotated": "yes",
        "worker-feedback": [{"comment": comment} for comment in comments],
    }
    return {REVIEW: "1", f"{REVIEW}-metadata": metadata}


def verify_lines(lines: Iterable[ChainLine], label: str) -> ChainedInput:
    """Return the labeled objects for a verification job."""
    chosen = [line for line in lines if line.state == "labeled"]
    entries = [_with_one_label(line.entry, label) for line in chosen]
    return ChainedInput(write_lines(entries), tuple(line.image for line in chosen))


def label_names(lines: Iterable[ChainLine], label: str) -> tuple[str, ...]:
    """Return the class names of the labeled lines without BACKGROUND, in the order of their color maps.

    Raises ManifestError for a map without names or colors: Ground Truth rejects such a line in an adjustment job.
    """
    found: dict[str, None] = {}
    for line in lines:
        if line.state != "labeled":
            continue
        table = line.entry[f"{label}-metadata"].get("internal-color-map")
        try:
            rows = sorted(table.items(), key=lambda item: int(item[0]))
            if any("hex-color" not in row for _, row in rows):
                raise ManifestError(f"{line.image}: its internal-color-map has no hex-color, which review needs")
            found |= dict.fromkeys(row["class-name"] for _, row in rows)
        except (AttributeError, KeyError, TypeError, ValueError):
            raise ManifestError(f"{line.image}: {label}-metadata has no readable internal-color-map") from None
    return tuple(name for name in found if not is_background(name))


def prior_attribute(lines: Iterable[ChainLine], label: str) -> str:
    """Return the attribute whose masks an adjustment job that writes `label` corrected.

    Raises ManifestError if none.
    """
    for line in lines:
        for key, value in line.entry.items():
            name = key.removesuffix("-metadata")
            if name not in (key, label) and isinstance(value, dict) and "internal-color-map" in value:
                return name
    raise ManifestError(f"no line has a mask other than {label!r}: nothing to adjust")


@dataclass(frozen=True)
class Verdict:
    """A verification of one mask. `name`: the chosen label, '' if the object failed."""

    image: str
    name: str
    confidence: float | None
    comments: tuple[str, ...]
    reason: str = ""


def read_verdicts(body: bytes, attribute: str) -> list[Verdict]:
    """Return the verdicts of a verification job's output manifest; unlabeled objects have none."""
    verdicts = []
    for number, text in split_lines([body]):
        line = _read_line(number, text, attribute)
        metadata = line.entry.get(f"{attribute}-metadata")
        if isinstance(metadata, dict):
            verdicts.append(_read_verdict(line.image, metadata, attribute in line.entry))
    return verdicts


def _read_verdict(image: str, metadata: dict[str, Any], is_labeled: bool) -> Verdict:
    feedback = metadata.get("worker-feedback") or []
    comments = tuple(str(item["comment"]) for item in feedback if isinstance(item, dict) and item.get("comment"))
    name = str(metadata.get("class-name", "")) if is_labeled else ""
    return Verdict(image, name, metadata.get("confidence"), comments, str(metadata.get("failure-reason", "")))


def write_lines(entries: Sequence[dict[str, Any]]) -> bytes:
    """Encode JSON Lines as Ground Truth writes them."""
    return b"".join(json.dumps(entry, separators=(",", ":"), ensure_ascii=False).encode() + b"\n" for entry in entries)


def _without(entry: dict[str, Any], label: str) -> dict[str, Any]:
    return {key: value for key, value in entry.items() if key not in (label, f"{label}-metadata")}


def _with_one_label(entry: dict[str, Any], label: str) -> dict[str, Any]:
    """Remove the labels and metadata of other jobs, whose classes the label file may lack."""
    others = {key.removesuffix("-metadata") for key in entry if key.endswith("-metadata")} - {label}
    return {key: value for key, value in entry.items() if key.removesuffix("-metadata") not in others}
