"""Data folder of 0.1.0 from tests/data, with its times moved to now."""

from __future__ import annotations

import json
import shutil
import sqlite3
import tarfile
import time
from pathlib import Path
from typing import Any

KEPT = Path(__file__).parent / "data" / "data-folder-0.1.0"
TIMES = {
    "labeling_jobs": ("created", "modified"),
    "labeling_objects": ("deadline", "stamp"),
    "labeling_tasks": ("accepted", "expires", "ended"),
    "labeling_answers": ("accepted", "submitted"),
}


def read_facts() -> dict[str, Any]:
    facts: dict[str, Any] = json.loads((KEPT / "facts.json").read_bytes())
    return facts


def unpack(folder: Path) -> None:
    """Unpack the folder and move the times of labeling to now, because leases and jobs expire."""
    with tarfile.open(KEPT / "folder.tar.xz") as archive:
        archive.extractall(folder, filter="data")
    connection = sqlite3.connect(folder / "state.sqlite3")
    (made,) = connection.execute("SELECT max(accepted) FROM labeling_tasks").fetchone()
    for table, columns in TIMES.items():
        for column in columns:
            connection.execute(f"UPDATE {table} SET {column} = {column} + ?", (time.time() - made,))
    connection.commit()
    connection.close()


def copy_in_use(folder: Path, target: Path) -> None:
    """Copy the folder while it is open: the state after kill -9."""
    shutil.copytree(folder, target)
