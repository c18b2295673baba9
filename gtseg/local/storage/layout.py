"""Layout of the data folder: permissions, schema version, storage location, and the checks before it is served.

`folder.json` records the gtseg version that last wrote the folder and its schema; a folder of 0.1.0 has no such file.
It is written after both databases exist, so that a database missing beside it is lost.
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

FOLDER_FILE, STORAGE_FILE = "folder.json", "storage.json"
DATABASES = ("state.sqlite3", "objects.sqlite3")
ANNOUNCEMENT = "server.json"
"""Exists while a server runs; the only sign of a database in use that 0.1.0 left."""
FIRST_LAYOUT = "calls.jsonl"
"""Created by 0.1.0 after both databases."""
MADE_AGAIN = "Move it away; gtseg creates it again."
RESTORED = "Move it away and restore the data folder from a backup (gtseg local restore)."
PLAIN_FILES = {
    "lock": MADE_AGAIN, "server.log": MADE_AGAIN, ANNOUNCEMENT: MADE_AGAIN, "server.crt": MADE_AGAIN,
    FOLDER_FILE: MADE_AGAIN, STORAGE_FILE: MADE_AGAIN,
    FIRST_LAYOUT: "Move it away; gtseg starts a new list of calls.",
    "credentials.json": (
        "Move it away and restore the data folder from a backup (gtseg local restore), or continue without it: new AWS "
        "keys and a new owner token are created; jobs, objects and workers' links stay valid."
    ),
    **dict.fromkeys(DATABASES, RESTORED),
}  # fmt: skip
FOLDERS = {"objects": RESTORED, "endpoints": MADE_AGAIN, "cache": MADE_AGAIN}
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Layout:
    """Schema version of a data folder (0: a new folder) and the gtseg version that wrote it."""

    schema: int
    gtseg: str = ""


def check_kinds(folder: Path) -> None:
    """Raise ServiceError if a file of the data folder is not a regular file (a named pipe would block) or a folder is
    none.
    """
    for names, is_right, what in (
        (PLAIN_FILES, Path.is_file, "is not a regular file"),
        (FOLDERS, Path.is_dir, "is not a folder"),
    ):
        for name, remedy in names.items():
            if (folder / name).exists() and not is_right(folder / name):
                raise damaged(folder / name, what, remedy)


def examine_folder(folder: Path, *, thorough: bool = False) -> Layout:
    """Check everything that the server needs, while no server has the folder open; return the layout.

    Raises ServiceError for a folder of a newer gtseg and for missing or damaged files.
    """
    check_kinds(folder)
    layout = read_layout(folder)
    for name in DATABASES:
        if layout.schema == 1 and (folder / ANNOUNCEMENT).exists() and not (folder / f"{name}-wal").exists():
            remedy = f"Copy {name}-wal too, or delete {ANNOUNCEMENT} to continue with the contents of {name}."
            raise damaged(folder / name, f"was copied without {name}-wal, which holds the latest changes", remedy)
        examine(
            folder / name,
            must_exist=layout.schema > 0,
            thorough=thorough,
            was_restarted=not _is_of_this_boot(folder),
        )
    return layout


def read_boot() -> str:
    """Return the ID of the machine's current boot; "" if the system has none."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def _is_of_this_boot(folder: Path) -> bool:
    """Return whether the machine has not been restarted since the last server start: no power failure."""
    place = _read(folder / ANNOUNCEMENT)
    boot = place.get("boot") if isinstance(place, dict) else None
    return bool(boot) and boot == read_boot()


def read_layout(folder: Path) -> Layout:
    """Return the contents of folder.json. Raises ServiceError if it is damaged or newer."""
    path = folder / FOLDER_FILE
    if not path.exists():
        return Layout(1 if (folder / FIRST_LAYOUT).exists() else 0)
    remedy = (
        f"Restore the data folder from a backup (gtseg local restore), or delete {FOLDER_FILE}; it is created again."
    )
    document = read_document(path, {"schema": int, "gtseg": str}, remedy=remedy)
    if document["schema"] > SCHEMA:
        raise too_new(folder, document["schema"], document["gtseg"])
    return Layout(document["schema"], document["gtseg"])


def keep_layout(folder: Path) -> None:
    """Write folder.json unless it is up to date."""
    wanted = {"schema": SCHEMA, "gtseg": installed_version()}
    path = folder / FOLDER_FILE
    if not path.exists() or _read(path) != wanted:
        write_atomically(path, json.dumps(wanted, indent=1).encode())


def keep_storage(folder: Path, s3: str, *, unfinished: int) -> None:
    """Record where objects are stored: `s3` as given to --s3, "" for the data folder.

    Raises ServiceError if the location differs from that of unfinished jobs, whose images and results are stored there.
    """
    path = folder / STORAGE_FILE
    remedy = f"If --s3 is unchanged since the unfinished jobs began, write {json.dumps({'s3': s3})} into it."
    earlier = read_document(path, {"s3": str}, remedy=remedy)["s3"] if path.exists() else ""
    if earlier == s3 and path.exists():
        return
    if earlier != s3 and unfinished:
        was, now = (
            f"gtseg local up --s3 {place}" if place else "gtseg local up without --s3" for place in (earlier, s3)
        )
        raise ServiceError(
            "StorageChanged",
            f"{unfinished} unfinished labeling jobs of {folder} have their objects where `{was}` stores them, and this "
            f"is `{now}`. Start the server as before and finish or stop them. If it is the same service at another "
            f"address, write {json.dumps({'s3': s3})} into {path}.",
        )
    write_atomically(path, json.dumps({"s3": s3}).encode())


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None


@cache
def installed_version() -> str:
    try:
        return version("gtseg")
    except PackageNotFoundError:
        return "from source"


def restrict_permissions(folder: Path, *, everything: bool) -> None:
    """Set mode 0700 for the folder and, with `everything`, 0700 for all folders and 0600 for all files in it."""
    try:
        folder.chmod(0o700)
        for path, mode in _walk(folder) if everything else ():
            os.chmod(path, mode, follow_symlinks=False)
    except (OSError, NotImplementedError) as error:
        logger.warning("cannot restrict the permissions of the data folder %s: %s", folder, error)


def _walk(folder: Path) -> Iterator[tuple[str, int]]:
    for directory, folders, files in os.walk(folder):
        for name in folders:
            yield os.path.join(directory, name), 0o700
        for name in files:
            path = os.path.join(directory, name)
            if not os.path.islink(path):
                yield path, 0o600
