"""Finding of a check of doctor."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from gtseg.pipeline.run import Context


@dataclass(frozen=True)
class Finding:
    """Finding: `good`, `warning` (works, or unknown) or `bad` (will fail), what was found, how to fix it."""

    level: Literal["good", "warning", "bad"]
    subject: str
    found: str
    remedy: str = ""


Check = Callable[[Context, str], Iterator[Finding]]
