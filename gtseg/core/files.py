"""Files of this machine that are complete under their name, or absent."""

from __future__ import annotations

import os
from pathlib import Path


def write_atomically(path: Path, body: bytes) -> None:
    """Write beside the file, then rename. Raises OSError; the folder is made where it is missing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.part")
    partial.write_bytes(body)
    partial.replace(path)
