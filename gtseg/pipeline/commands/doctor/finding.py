"""One line of what doctor found."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from gtseg.pipeline.run import Context


@dataclass(frozen=True)
class Finding:
    """One line: `good`, `warning` (works, or cannot be told) or `bad` (will fail), what was found, how to mend it."""

    level: Literal["good", "warning", "bad"]
    subject: str
    found: str
    mend: str = ""


Check = Callable[[Context, str], Iterator[Finding]]
