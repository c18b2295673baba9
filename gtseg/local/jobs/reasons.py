"""Reasons that a job failed for, as AWS words them: a container's files are below /opt/ml, and no path of this machine is named."""

from __future__ import annotations

import re
import site
import sys
import tempfile
from functools import lru_cache
from pathlib import Path

__all__ = ["REASON_CHARACTERS", "as_in_container", "failure_reason"]

REASON_CHARACTERS = 1024
"""Of a FailureReason (API)."""
_REST = r"[^\s'\"`,;:()<>|]*"
_PACKAGE = Path(__file__).resolve().parents[3]


def failure_reason(text: str, data: Path) -> str:
    """`text` with the files below the data folder as a container sees them, and other files of this machine by their names."""
    return as_in_container(text, data)[:REASON_CHARACTERS]


def as_in_container(text: str, data: Path) -> str:
    """What a container writes, as it would write it on AWS."""
    for folder in {str(data), str(data.resolve())}:
        text = re.sub(rf"{re.escape(folder)}/(?:{_REST}/)?ml(?=/|\W|$)", "/opt/ml", text)
    text = re.sub(r"/opt/ml/\.(\w+)\.partial", r"/opt/ml/\1", text)
    return _of_machine(data).sub(lambda found: found[0].rstrip("/").rsplit("/", 1)[-1], text)


@lru_cache(8)
def _of_machine(data: Path) -> re.Pattern[str]:
    """Paths that say something of this machine: below the data folder, Python, gtseg, temporary and home folders."""
    folders = {
        str(data),
        str(data.resolve()),
        str(_PACKAGE),
        sys.prefix,
        sys.base_prefix,
        tempfile.gettempdir(),
        str(Path.home()),
        *site.getsitepackages(),
    } - {"/", "/usr"}
    longest = sorted((re.escape(folder) for folder in folders), key=len, reverse=True)
    return re.compile(rf"(?:{'|'.join(longest)})(?:/{_REST})?(?![\w/])")
