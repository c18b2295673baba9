"""Results of an import's tasks: labeled images, skipped inputs, drawn features and losses."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from gtseg.core.account import Account, Kind, Loss


@dataclass(frozen=True)
class Labeled:
    """Image and mask in the import's folder. `used`: number of inputs by unit that they contain."""

    name: str
    source: str
    width: int
    height: int
    pixels: dict[int, int]
    group: str | None = None
    extra: dict[str, Any] = field(default_factory=dict)
    used: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Skipped:
    """File (or other `unit`) that was not imported, with the reason."""

    source: str
    reason: str
    unit: str = "image"
    kind: Kind = "lost"


@dataclass(frozen=True)
class DrawnFeatures:
    """Numbers of the features of a file that are visible in a scene's masks, and of those `inside` the scene."""

    source: str
    numbers: tuple[int, ...]
    inside: tuple[int, ...] = ()


@dataclass(frozen=True)
class Report:
    """Result of an import."""

    folder: Path
    classes: tuple[str, ...]
    account: Account
    skipped: tuple[Skipped, ...]

    @property
    def images(self) -> int:
        return self.account.flow("image").outputs

    @property
    def pixels(self) -> dict[str, int]:
        return dict(self.account.pixels)


Outcome = Labeled | Skipped | DrawnFeatures | Loss
KINDS: dict[str, type[Any]] = {"labelled": Labeled, "skipped": Skipped, "drawn": DrawnFeatures, "loss": Loss}
"""Types by their key in journal.jsonl."""


def as_json(outcome: Outcome) -> dict[str, Any]:
    name = next(name for name, kind in KINDS.items() if isinstance(outcome, kind))
    return {name: asdict(outcome)}


def from_json(entry: dict[str, Any]) -> Outcome:
    name, values = next(iter(entry.items()))
    if name == "labelled":
        values = {**values, "pixels": {int(k): v for k, v in values["pixels"].items()}}
    if name == "drawn":
        values = {**values, "numbers": tuple(values["numbers"]), "inside": tuple(values["inside"])}
    outcome: Outcome = KINDS[name](**values)
    return outcome


def losses_of(skipped: Iterable[Skipped]) -> list[Loss]:
    """Return losses; items whose reasons differ only in numbers and file names are counted together."""
    groups: dict[tuple[str, str, str], list[Skipped]] = {}
    for item in skipped:
        pattern = re.sub(r"\d[\d,.]*", "0", re.sub(r"\S*[/\\]\S*|\S+\.\w{2,5}\b", "", item.reason))
        groups.setdefault((item.unit, item.kind, pattern), []).append(item)
    return [
        Loss(first[0].unit, first[0].reason, first[0].source, len(first), first[0].kind) for first in groups.values()
    ]
