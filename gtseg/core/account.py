"""Account of inputs, outputs and losses, shared by every importer, exporter and stage.

A flow counts one unit (images, annotations, features, masks) at both ends. A loss says how many of a unit were lost and
why, with one example. The account is balanced if every input is either an output or in a loss.
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
    """Number of inputs and outputs of a unit, a singular noun."""

    unit: str
    inputs: int
    outputs: int


@dataclass(frozen=True)
class Loss:
    """`count` lost inputs of a unit. `reason` completes "3 annotations: ..."; `example` names one of them.

    kind: "lost" is unexpected (exit code 5, or 1 if most of a unit is lost); "outside" is outside of the requested
    area, such as features of a country beside one scene (exit code 5, never 1); "note" was requested, or changes no
    label (0).
    """

    unit: str
    reason: str
    example: str
    count: int = 1
    kind: Kind = "lost"

    @property
    def text(self) -> str:
        text = f"{counted(self.count, self.unit, _plural(self.unit))}: {self.reason}"
        if self.example in self.reason:
            return text
        example = self.example.removesuffix(f": {self.reason}")
        return f"{text}; {f'for example {example}' if self.count > 1 else example}"


@dataclass(frozen=True)
class Account:
    """Flows, pixels by class name, and losses; losses of kind "note" change no label."""

    flows: tuple[Flow, ...] = ()
    pixels: Mapping[str, int] = field(default_factory=dict)
    losses: tuple[Loss, ...] = ()

    def flow(self, unit: str) -> Flow:
        """Return the flow of a unit, an empty one if the account has none."""
        return next((flow for flow in self.flows if flow.unit == unit), Flow(unit, 0, 0))

    @property
    def exit_code(self) -> int:
        """5 if the account has a loss that is not a note, else 0."""
        return 5 if any(loss.kind != "note" for loss in self.losses) else 0

    @property
    def shortfall(self) -> str:
        """The unit of which less than half arrived, as a phrase; '' if none.

        Excluded inputs do not count as missing.
        """
        for flow in self.flows:
            excused = sum(x.count for x in self.losses if x.unit == flow.unit and x.kind != "lost")
            due = flow.inputs - excused
            if (due > 0 and flow.outputs * 2 < due) or (flow.inputs > 0 and flow.outputs == 0):
                return f"{flow.outputs:,} of {counted(flow.inputs, flow.unit, _plural(flow.unit))} arrived"
        return ""

    def lines(self) -> list[str]:
        """Return the account as lines of text: flows, pixels by class, losses with an example each."""
        flows = [f"{x.outputs:,} of {counted(x.inputs, x.unit, _plural(x.unit))}" for x in self.flows]
        total = max(sum(self.pixels.values()), 1)
        shares = [f"{name:<16} {count / total:7.2%} of the pixels" for name, count in self.pixels.items()]
        reasons = [loss.text for loss in sorted(self.losses, key=lambda loss: loss.kind == "note")]
        more = [f"... and {len(reasons) - MOST_LINES} more reasons"] if len(reasons) > MOST_LINES else []
        return [", ".join(flows), *shares, *reasons[:MOST_LINES], *more] if flows else [*shares, *reasons]

    def as_json(self) -> dict[str, Any]:
        return {
            "flows": {flow.unit: {"in": flow.inputs, "out": flow.outputs} for flow in self.flows},
            "pixels": dict(self.pixels),
            "losses": [
                {"unit": x.unit, "reason": x.reason, "count": x.count, "example": x.example, "kind": x.kind}
                for x in self.losses
            ],
        }


def merge_losses(losses: Iterable[Loss]) -> tuple[Loss, ...]:
    """Combine losses of equal unit, reason and kind, with the first one's example, in order of first appearance."""
    merged: dict[tuple[str, str, str], Loss] = {}
    for loss in losses:
        key = (loss.unit, loss.reason, loss.kind)
        known = merged.get(key)
        merged[key] = replace(known, count=known.count + loss.count) if known else loss
    return tuple(merged.values())


def _plural(unit: str) -> str:
    return f"{unit}es" if unit.endswith("ss") else f"{unit}s"
