"""Failure reasons of jobs without paths of this machine: a container's files are shown below /opt/ml, as on AWS."""

from __future__ import annotations

import re
import site
import sys
import tempfile
from functools import lru_cache
from pathlib import Path

REASON_CHARACTERS = 1024
"""Maximum length of a FailureReason (API)."""
_REST = r"[^\s'\"`,;:()<>|]*"
_PACKAGE = Path(__file__).resolve().parents[3]


def failure_reason(text: str, data: Path) -> str:
    """Return `text` with paths below the data folder as in a container and other local files by
    their names, shortened.
    """
    return _as_in_container(text, data)[:REASON_CHARACTERS]


def _as_in_container(text: str, data: Path) -> str:
    """Return a container's output with its paths as on AWS."""
    for folder in {str(data), str(data.resolve())}:
        text = re.sub(rf"{re.escape(folder)}/(?:{_REST}/)?ml(?=/|\W|$)", "/opt/ml", text)
    text = re.sub(r"/opt/ml/\.(\w+)\.partial", r"/opt/ml/\1", text)
    return _local_paths_pattern(data).sub(lambda found: found[0].rstrip("/").rsplit("/", 1)[-1], text)


@lru_cache(8)
def _local_paths_pattern(data: Path) -> re.Pattern[str]:
    """Return a pattern of local paths: below the data folder, Python, gtseg, temporary and home folders."""
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
