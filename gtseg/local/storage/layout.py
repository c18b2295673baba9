"""The data folder as a whole: who may read it, which schema it has, and what must be whole before it is served.

`folder.json` says which gtseg wrote the folder last and in which schema; a folder of 0.1.0 has none. It is written once both
databases are there, so that a folder that has one and lacks a database has lost it.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from gtseg.local.errors import ServiceError
from gtseg.local.storage.atomic_files import read_document, write_atomically
from gtseg.local.storage.database import SCHEMA, damaged, examine, too_new

__all__ = [
    "DATABASES",
    "FOLDER_FILE",
    "Layout",
    "check_kinds",
    "close_to_others",
    "examine_folder",
    "keep_layout",
    "keep_storage",
    "read_boot",
]

FOLDER_FILE, STORAGE_FILE = "folder.json", "storage.json"
DATABASES = ("state.sqlite3", "objects.sqlite3")
ANNOUNCEMENT = "server.json"  # there while a server runs; 0.1.0 had no other mark of a database in use
FIRST_LAYOUT = "calls.jsonl"  # 0.1.0 made it after both databases
MADE_AGAIN = "Move it away: gtseg makes it again."
RESTORED = "Move it away, and restore the data folder from a backup (gtseg local restore)."
PLAIN_FILES = {
    "lock": MADE_AGAIN, "server.log": MADE_AGAIN, ANNOUNCEMENT: MADE_AGAIN, "server.crt": MADE_AGAIN, FOLDER_FILE: MADE_AGAIN, STORAGE_FILE: MADE_AGAIN,
    FIRST_LAYOUT: "Move it away: gtseg begins another list of calls.",
    "credentials.json": (
        "Move it away, and restore the data folder from a backup (gtseg local restore) or go on without: new AWS keys and a"
        " new owner token are made; jobs, objects and workers' links stay valid."
    ),
    **dict.fromkeys(DATABASES, RESTORED),
}  # fmt: skip
FOLDERS = {"objects": RESTORED, "endpoints": MADE_AGAIN, "cache": MADE_AGAIN}
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Layout:
    """`schema` 0: a new folder."""

    schema: int
    gtseg: str = ""


def check_kinds(folder: Path) -> None:
    """Raises ServiceError where a file of the data folder is none, such as a pipe, which would be waited for, or a folder."""
    for names, is_right, what in (
        (PLAIN_FILES, Path.is_file, "is no plain file"),
        (FOLDERS, Path.is_dir, "is no folder"),
    ):
        for name, way_out in names.items():
            if (folder / name).exists() and not is_right(folder / name):
                raise damaged(folder / name, what, way_out)


def examine_folder(folder: Path, *, thorough: bool = False) -> Layout:
    """Check everything that the server needs, while no server has the folder open.

    Raises ServiceError, in one line, for a folder of a newer gtseg and for what is missing or damaged.
    """
    check_kinds(folder)
    layout = read_layout(folder)
    for name in DATABASES:
        if layout.schema == 1 and (folder / ANNOUNCEMENT).exists() and not (folder / f"{name}-wal").exists():
            way_out = f"Copy {name}-wal too, or delete {ANNOUNCEMENT} to go on with what {name} holds."
            raise damaged(folder / name, f"was copied without {name}-wal, which holds what was written last", way_out)
        examine(
            folder / name,
            must_exist=layout.schema > 0,
            thorough=thorough,
            was_cut_off=not _is_of_this_boot(folder),
        )
    return layout


def read_boot() -> str:
    """The same text as long as the machine has not been started anew; "" where the system has none."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def _is_of_this_boot(folder: Path) -> bool:
    """Whether the last server ended without a power cut: its machine still runs."""
    place = _read(folder / ANNOUNCEMENT)
    boot = place.get("boot") if isinstance(place, dict) else None
    return bool(boot) and boot == read_boot()


def read_layout(folder: Path) -> Layout:
    """What folder.json says. Raises ServiceError for one that is damaged or newer."""
    path = folder / FOLDER_FILE
    if not path.exists():
        return Layout(1 if (folder / FIRST_LAYOUT).exists() else 0)
    way_out = f"Restore the data folder from a backup (gtseg local restore), or delete {FOLDER_FILE}: it is made again."
    document = read_document(path, {"schema": int, "gtseg": str}, way_out=way_out)
    if document["schema"] > SCHEMA:
        raise too_new(folder, document["schema"], document["gtseg"])
    return Layout(document["schema"], document["gtseg"])


def keep_layout(folder: Path) -> None:
    """Write folder.json, if it does not say so already."""
    wanted = {"schema": SCHEMA, "gtseg": own_version()}
    path = folder / FOLDER_FILE
    if not path.exists() or _read(path) != wanted:
        write_atomically(path, json.dumps(wanted, indent=1).encode())


def keep_storage(folder: Path, s3: str, *, unfinished: int) -> None:
    """Write down where objects are: `s3` as --s3 says it, "" for the data folder.

    Raises ServiceError where they were elsewhere while jobs that are unfinished began: those have their images and results there.
    """
    path = folder / STORAGE_FILE
    way_out = f"Write {json.dumps({'s3': s3})} into it, if --s3 is what it was when the unfinished jobs began."
    earlier = read_document(path, {"s3": str}, way_out=way_out)["s3"] if path.exists() else ""
    if earlier == s3 and path.exists():
        return
    if earlier != s3 and unfinished:
        was, now = (
            f"gtseg local up --s3 {place}" if place else "gtseg local up without --s3" for place in (earlier, s3)
        )
        raise ServiceError(
            "StorageChanged",
            f"{unfinished} unfinished labeling jobs of {folder} have their objects where `{was}` keeps them, and this is `{now}`."
            f" Start it as before and let them end or stop them; or, if it is the same service under another address, write"
            f" {json.dumps({'s3': s3})} into {path}.",
        )
    write_atomically(path, json.dumps({"s3": s3}).encode())


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None


@cache
def own_version() -> str:
    try:
        return version("gtseg")
    except PackageNotFoundError:
        return "from source"


def close_to_others(folder: Path, *, everything: bool) -> None:
    """0700 for the folder and, with `everything`, for all folders in it, 0600 for all files."""
    try:
        folder.chmod(0o700)
        for path, mode in _walk(folder) if everything else ():
            os.chmod(path, mode, follow_symlinks=False)
    except (OSError, NotImplementedError) as error:
        logger.warning("the data folder %s cannot be closed to other users: %s", folder, error)


def _walk(folder: Path) -> Iterator[tuple[str, int]]:
    for directory, folders, files in os.walk(folder):
        for name in folders:
            yield os.path.join(directory, name), 0o700
        for name in files:
            path = os.path.join(directory, name)
            if not os.path.islink(path):
                yield path, 0o600
