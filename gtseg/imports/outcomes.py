"""What a task of an import leaves: an image with its mask, something that was skipped, something that was lost."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from gtseg.core.account import Account, Kind, Loss


@dataclass(frozen=True)
class Labelled:
    """An image with its mask, both written below the import's folder. `used`: how many of each unit arrived in it."""

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
    """A file (or another `unit`) that was left out, and why."""

    source: str
    reason: str
    unit: str = "image"
    kind: Kind = "lost"


@dataclass(frozen=True)
class Drawn:
    """The features of one file, by their place in it, that a scene shows (`inside`: those that lie on it at all)."""

    source: str
    numbers: tuple[int, ...]
    inside: tuple[int, ...] = ()


@dataclass(frozen=True)
class Report:
    """What an import left: the account, and each thing that was skipped."""

    folder: Path
    classes: tuple[str, ...]
    account: Account
    skipped: tuple[Skipped, ...]

    @property
    def images(self) -> int:
        return self.account.flow("image").went

    @property
    def pixels(self) -> dict[str, int]:
        return dict(self.account.pixels)


Outcome = Labelled | Skipped | Drawn | Loss
KINDS: dict[str, type[Any]] = {"labelled": Labelled, "skipped": Skipped, "drawn": Drawn, "loss": Loss}


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
    """Skipped things as losses: those whose reasons differ in numbers and names of files only are one."""
    groups: dict[tuple[str, str, str], list[Skipped]] = {}
    for item in skipped:
        words = re.sub(r"\d[\d,.]*", "0", re.sub(r"\S*[/\\]\S*|\S+\.\w{2,5}\b", "", item.reason))
        groups.setdefault((item.unit, item.kind, words), []).append(item)
    return [
        Loss(first[0].unit, first[0].reason, first[0].source, len(first), first[0].kind) for first in groups.values()
    ]
