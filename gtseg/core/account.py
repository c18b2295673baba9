"""What came in, what went out, and what was lost on the way: one account for every importer, exporter and stage.

A flow counts one unit (images, annotations, features, masks) at both ends; a loss says how many of a unit did not
arrive, why, and names one of them. Where every unit that came in either went out or is in a loss, the account is balanced.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from gtseg.core.plurals import counted

Kind = Literal["lost", "outside", "note"]
MOST_LINES = 12


@dataclass(frozen=True)
class Flow:
    """How many of one unit (a noun in the singular) came in and went out."""

    unit: str
    came: int
    went: int


@dataclass(frozen=True)
class Loss:
    """`count` of a unit that did not arrive; `reason` completes "3 annotations: ..."; `example` names one of them.

    kind: "lost" was not expected (exit code 5, and 1 where most of a unit is lost); "outside" lies where nothing was asked
    for, such as features of a country beside one scene (exit code 5, never 1); "note" was asked for, or changes no label (0).
    """

    unit: str
    reason: str
    example: str
    count: int = 1
    kind: Kind = "lost"

    @property
    def text(self) -> str:
        said = f"{counted(self.count, self.unit, _plural(self.unit))}: {self.reason}"
        if self.example in self.reason:
            return said
        example = self.example.removesuffix(f": {self.reason}")
        return f"{said}; {f'for example {example}' if self.count > 1 else example}"


@dataclass(frozen=True)
class Account:
    """Flows, pixels by class name, and losses; notes are losses that change no label."""

    flows: tuple[Flow, ...] = ()
    pixels: Mapping[str, int] = field(default_factory=dict)
    losses: tuple[Loss, ...] = ()

    def flow(self, unit: str) -> Flow:
        """The flow of a unit; an empty one where the account has none."""
        return next((flow for flow in self.flows if flow.unit == unit), Flow(unit, 0, 0))

    @property
    def exit_code(self) -> int:
        """5 where something was lost that was not expected, else 0."""
        return 5 if any(loss.kind != "note" for loss in self.losses) else 0

    @property
    def shortfall(self) -> str:
        """Which unit arrived by less than half, in words; '' where none did. What was asked to stay out is not missed."""
        for flow in self.flows:
            excused = sum(x.count for x in self.losses if x.unit == flow.unit and x.kind != "lost")
            due = flow.came - excused
            if (due > 0 and flow.went * 2 < due) or (flow.came > 0 and flow.went == 0):
                return f"{flow.went:,} of {counted(flow.came, flow.unit, _plural(flow.unit))} arrived"
        return ""

    def lines(self) -> list[str]:
        """The account in words, a line each: flows, pixels by class, losses with an example each."""
        flows = [f"{x.went:,} of {counted(x.came, x.unit, _plural(x.unit))}" for x in self.flows]
        total = max(sum(self.pixels.values()), 1)
        shares = [f"{name:<16} {count / total:7.2%} of the pixels" for name, count in self.pixels.items()]
        said = [loss.text for loss in sorted(self.losses, key=lambda loss: loss.kind == "note")]
        more = [f"... and {len(said) - MOST_LINES} more reasons"] if len(said) > MOST_LINES else []
        return [", ".join(flows), *shares, *said[:MOST_LINES], *more] if flows else [*shares, *said]

    def as_json(self) -> dict[str, Any]:
        return {
            "flows": {flow.unit: {"in": flow.came, "out": flow.went} for flow in self.flows},
            "pixels": dict(self.pixels),
            "losses": [
                {"unit": x.unit, "reason": x.reason, "count": x.count, "example": x.example, "kind": x.kind}
                for x in self.losses
            ],
        }


def merge_losses(losses: Iterable[Loss]) -> tuple[Loss, ...]:
    """Losses of one unit, reason and kind as one, with the first's example, in order of first appearance."""
    merged: dict[tuple[str, str, str], Loss] = {}
    for loss in losses:
        key = (loss.unit, loss.reason, loss.kind)
        known = merged.get(key)
        merged[key] = replace(known, count=known.count + loss.count) if known else loss
    return tuple(merged.values())


def _plural(unit: str) -> str:
    return f"{unit}es" if unit.endswith("ss") else f"{unit}s"
