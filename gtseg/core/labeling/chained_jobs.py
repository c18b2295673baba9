"""Chained labeling jobs: an earlier job's output manifest -> the next job's input manifest.

Rules of the developer guide (sms-reusing-data, sms-verification-data): with the same label attribute only lines without it
are labeled; with a new one all are, except lines that have it already. What has failed or was never labeled has no place in
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
"""The attribute under which an adjustment's input says what is wrong about a mask."""


@dataclass(frozen=True)
class ChainLine:
    """One line of an output manifest as it is, and what became of its object."""

    image: str
    entry: dict[str, Any]
    state: Literal["labeled", "failed", "unlabeled"]


@dataclass(frozen=True)
class ChainedInput:
    """An input manifest; `todo` are the images that workers get, in its order."""

    body: bytes
    todo: tuple[str, ...]


def read_chain(body: bytes, label: str) -> list[ChainLine]:
    """Every line. Raises ManifestError with the number of one that is no JSON object or names no image."""
    return [_read_line(number, text, label) for number, text in split_lines([body])]


def _read_line(number: int, text: bytes, label: str) -> ChainLine:
    try:
        entry = msgspec.json.decode(text)  # strict: what it takes can be written again as JSON in UTF-8
    except (ValueError, RecursionError) as error:
        raise ManifestError(f"line {number} is not JSON: {error}") from None
    image = entry.get("source-ref") if isinstance(entry, dict) else None
    if not isinstance(image, str) or not image:
        raise ManifestError(f"line {number} names no image: 'source-ref' is missing")
    metadata = entry.get(f"{label}-metadata")
    if isinstance(entry.get(label), str) and isinstance(metadata, dict):
        return ChainLine(image, entry, "labeled")
    return ChainLine(image, entry, "failed" if metadata is not None else "unlabeled")


def continue_lines(lines: Iterable[ChainLine], label: str, redo: Collection[str] = ()) -> ChainedInput:
    """The same objects for a job of the same attribute: labeled ones keep their label, so that they are never labeled twice.

    `redo` names images whose label is thrown away; a failed object loses its reason and is tried again.
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
    """Labeled objects for an adjustment job that writes `attribute`: all of them, or `only` these images.

    Where only some are asked for, the others carry their mask under the new attribute already: Ground Truth leaves such lines
    as they are, and the output holds every object under one attribute. What was said of an image in `only` goes along in the
    form of a label verification, so that whoever corrects it reads it.
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
    """Whether a model made the label that this metadata describes."""
    return str(metadata.get("human-annotated", "")).lower() in NOT_HUMAN


def machine_lines(lines: Iterable[ChainLine], label: str) -> list[ChainLine]:
    """Those that a model labeled."""
    return [line for line in lines if line.state == "labeled" and is_by_machine(line.entry[f"{label}-metadata"])]


def _review(comments: Sequence[str]) -> dict[str, Any]:
    """What an image's line gains (developer guide, sms-data-output, "Label verification job output")."""
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
    """Labeled objects for a verification job."""
    chosen = [line for line in lines if line.state == "labeled"]
    entries = [_with_one_label(line.entry, label) for line in chosen]
    return ChainedInput(write_lines(entries), tuple(line.image for line in chosen))


def label_names(lines: Iterable[ChainLine], label: str) -> tuple[str, ...]:
    """Names of all classes of the labeled lines without BACKGROUND, in the order of their colour maps.

    Raises ManifestError for a map without names or colours: Ground Truth refuses an adjustment of such a line.
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
            raise ManifestError(f"{line.image}: {label}-metadata has no internal-color-map to be read") from None
    return tuple(name for name in found if not is_background(name))


def prior_attribute(lines: Iterable[ChainLine], label: str) -> str:
    """The attribute whose masks an adjustment job that writes `label` was given. Raises ManifestError where there is none."""
    for line in lines:
        for key, value in line.entry.items():
            name = key.removesuffix("-metadata")
            if name not in (key, label) and isinstance(value, dict) and "internal-color-map" in value:
                return name
    raise ManifestError(f"no line holds a mask beside {label!r}: nothing to adjust")


@dataclass(frozen=True)
class Verdict:
    """What people say of one mask. `name` is the verdict's label, '' where the object failed."""

    image: str
    name: str
    confidence: float | None
    comments: tuple[str, ...]
    reason: str = ""


def read_verdicts(body: bytes, attribute: str) -> list[Verdict]:
    """The verdicts of a verification job's output manifest; unlabeled objects have none."""
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
    """JSON Lines as Ground Truth writes them."""
    return b"".join(json.dumps(entry, separators=(",", ":"), ensure_ascii=False).encode() + b"\n" for entry in entries)


def _without(entry: dict[str, Any], label: str) -> dict[str, Any]:
    return {key: value for key, value in entry.items() if key not in (label, f"{label}-metadata")}


def _with_one_label(entry: dict[str, Any], label: str) -> dict[str, Any]:
    """Without the labels and metadata of other jobs, whose classes the label file may not hold."""
    others = {key.removesuffix("-metadata") for key in entry if key.endswith("-metadata")} - {label}
    return {key: value for key, value in entry.items() if key.removesuffix("-metadata") not in others}
