"""Backups of a data folder, also of a running server: a snapshot of both databases and the files that they refer to.

A read transaction in each database holds the snapshot while everything is copied. The state database is opened before
the index, so that every object that the state refers to is in the index. The server keeps the files of replaced and
deleted objects while `DATA/backup.lock` is held. The copy is renamed to its final name when it is complete and synced
to disk; an interrupted backup leaves nothing.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import shutil
import sqlite3
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from gtseg.local.errors import ServiceError
from gtseg.local.locks import is_locked
from gtseg.local.storage.atomic_files import read_document, write_atomically
from gtseg.local.storage.database import AT_REST, SCHEMA, damaged, too_new
from gtseg.local.storage.files import locate
from gtseg.local.storage.layout import DATABASES, examine_folder, installed_version, read_layout, restrict_permissions
from gtseg.local.storage.stored import unpack_row
from gtseg.local.storage.sync import sync_disk, sync_folder
from gtseg.local.storage.verification import find_damage, is_intact

BACKUP_FILE, BACKUP_LOCK = "backup.json", "backup.lock"
LEFT_OUT = {
    *DATABASES,
    *(f"{name}{suffix}" for name in DATABASES for suffix in ("-wal", "-shm")),
    "objects", "endpoints", "cache", "lock", "server.json", "server.log", BACKUP_LOCK, BACKUP_FILE,
}  # fmt: skip
"""Entries of the data folder that are not copied as files: copied otherwise, re-creatable, or owned by a running
server.
"""
LOCK_TRIES, LOCK_PAUSE = 40, 0.05
BLOCK_BYTES = 1 << 20
ROWS = "SELECT bucket, key, file, size, etag, modified, content_type, about FROM object ORDER BY bucket, key"
PARTS = "SELECT upload, number, file, size, etag FROM part ORDER BY upload, number"


@dataclass
class Findings:
    """Result of a backup, a restore or a check: counts and damage."""

    objects: int = 0
    bytes: int = 0
    damaged: list[str] = field(default_factory=list)
    """One line for each damaged object, part or file."""


@dataclass(frozen=True)
class Stored:
    """Stored bytes that a row of the index refers to: those of an object, or of a part of an unfinished upload."""

    name: str
    file: int
    size: int
    etag: str
    parts: tuple[int, ...] = ()


# --- commands ---


def back_up(folder: Path, target: Path) -> Findings:
    """Copy a data folder to the new folder `target`. Raises ServiceError or OSError; nothing is left in that case."""
    if target.exists() or target.is_symlink():
        raise ServiceError("TargetExists", f"{target} already exists. Choose another name for the backup.")
    if target.resolve().is_relative_to(folder.resolve()):
        raise ServiceError("TargetInside", f"{target} is inside the data folder {folder}. Choose a folder outside it.")
    with hold_snapshot(folder) as (state, index), _fill_atomically(target) as partial:
        return _copy(folder, partial, state, index)


def restore(backup: Path, folder: Path) -> Findings:
    """Create a data folder from a backup. Raises ServiceError or OSError; nothing is left in that case."""
    about = _read_about(backup)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ServiceError(
            "FolderNotEmpty",
            f"{folder} is not empty and is not overwritten. Choose another folder with --data, or move this one.",
        )
    if about["schema"] > SCHEMA:
        raise too_new(backup, about["schema"], about["gtseg"])
    folder.parent.mkdir(parents=True, exist_ok=True)
    with _connect_both(backup) as (state, index), _fill_atomically(folder) as partial:
        findings = _copy(backup, partial, state, index)
        (partial / BACKUP_FILE).unlink()
    return findings


def check_folder(folder: Path) -> Findings:
    """Compare all stored data of a data folder with its checksums; works while a server is running."""
    findings = Findings()
    with hold_snapshot(folder) as (state, index):
        for name, connection in zip(DATABASES, (state, index), strict=True):
            for (line,) in connection.execute("PRAGMA quick_check(20)"):
                if line != "ok":
                    findings.damaged.append(f"{folder / name}: {' '.join(line.split())}")
        for stored in _list_stored(index):
            findings.objects += 1
            findings.bytes += stored.size
            damage = _examine(folder, stored, index)
            if damage:
                findings.damaged.append(f"{stored.name}: {damage}")
        findings.damaged += _check_manifests(folder, state)
    return findings


# --- snapshot ---


@contextlib.contextmanager
def hold_snapshot(folder: Path) -> Iterator[tuple[sqlite3.Connection, sqlite3.Connection]]:
    """Open a snapshot of both databases (state, index); files that it refers to are kept until the block ends.

    Raises ServiceError if `folder` is not a data folder, was written by a newer version, or is damaged.
    """
    if not folder.is_dir() or not (folder / DATABASES[0]).exists():
        raise ServiceError("NoDataFolder", f"{folder} is not a data folder: it has no {DATABASES[0]}.")
    with contextlib.ExitStack() as held:
        held.enter_context(
            _lock(folder / BACKUP_LOCK, f"another backup or check of {folder} is running; wait until it has finished")
        )
        try:
            held.enter_context(_lock(folder / "lock", "", tries=1, kind=fcntl.LOCK_SH))
        except ServiceError:
            read_layout(folder)  # a running server has examined the databases and has them open
        else:
            examine_folder(folder)
        yield held.enter_context(_connect_both(folder))


@contextlib.contextmanager
def _lock(path: Path, otherwise: str, *, tries: int = LOCK_TRIES, kind: int = fcntl.LOCK_EX) -> Iterator[None]:
    with os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o600)) as file:
        for left in reversed(range(tries)):
            try:
                fcntl.flock(file, kind | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if not left:
                    raise ServiceError("InUse", otherwise) from None
                time.sleep(LOCK_PAUSE)  # a server that tests the lock holds it for an instant
        yield


def is_backed_up(folder: Path) -> bool:
    """Return whether a backup or a check is running, during which no file may be removed."""
    return is_locked(folder / BACKUP_LOCK)


@contextlib.contextmanager
def _connect_both(folder: Path) -> Iterator[tuple[sqlite3.Connection, sqlite3.Connection]]:
    connections: list[sqlite3.Connection] = []
    try:
        for name in DATABASES:
            connection = sqlite3.connect(folder / name, timeout=60, isolation_level=None)
            connections.append(connection)
            connection.execute("PRAGMA query_only=1")
        for connection in connections:
            connection.execute("BEGIN")
            connection.execute("SELECT count(*) FROM sqlite_master").fetchone()  # the snapshot starts at the first read
        yield connections[0], connections[1]
    except sqlite3.DatabaseError as error:
        raise damaged(folder, f"cannot be read: a database is damaged ({error})") from None
    finally:
        for connection in connections:
            connection.close()


def _list_stored(index: sqlite3.Connection) -> Iterator[Stored]:
    for bucket, key, *row in index.execute(ROWS):
        info = unpack_row(bucket, key.decode("utf-8", "replace"), tuple(row))
        yield Stored(f"s3://{bucket}/{info.key}", info.file, info.size, info.etag, info.parts)
    for upload, number, file, size, etag in index.execute(PARTS):
        yield Stored(f"part {number} of the upload {upload}", file, size, etag)


# --- checks ---


def _examine(folder: Path, stored: Stored, index: sqlite3.Connection) -> str:
    """Return a description of the damage of stored bytes; "" if they are intact."""
    if stored.file < 0:
        row = index.execute("SELECT content FROM small WHERE number=?", (-stored.file,)).fetchone()
        if row is None:
            return "its bytes are missing in objects.sqlite3"
        return "" if is_intact(row[0], stored.etag) else "its bytes in objects.sqlite3 do not match its ETag"
    path = locate(folder / "objects", stored.file)
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError as error:
        return f"{path}: {error.strerror}"
    try:
        damage = find_damage(descriptor, size=stored.size, etag=stored.etag, parts=stored.parts)
    except OSError as error:
        damage = str(error.strerror)
    finally:
        os.close(descriptor)
    return f"{path}: {damage}" if damage else ""


def _check_manifests(folder: Path, state: sqlite3.Connection) -> list[str]:
    """Return a line for each missing or truncated manifest of a running labeling job."""
    tables = {name for (name,) in state.execute("SELECT name FROM sqlite_master")}
    if "labeling_jobs" not in tables:
        return []
    query = (
        "SELECT j.title, j.reference, max(o.start + o.length) FROM labeling_jobs j "
        "JOIN labeling_objects o ON o.job = j.name "
        "WHERE j.status IN ('Initializing', 'InProgress', 'Stopping') GROUP BY j.name"
    )
    wrong = []
    for title, reference, length in state.execute(query):
        path = folder / "labeling" / reference / "input.manifest"
        if not path.exists() or path.stat().st_size < length:
            wrong.append(f"{path}: the manifest of the labeling job {title} is missing or truncated")
    return wrong


# --- copies ---


@contextlib.contextmanager
def _fill_atomically(target: Path) -> Iterator[Path]:
    """Yield a temporary folder that is renamed to `target` when the block ends, complete and synced to disk."""
    if not target.parent.is_dir():
        raise ServiceError("NoFolder", f"the folder {target.parent} does not exist. Create it first.")
    partial = target.with_name(f".{target.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)  # left by a killed backup
    try:
        partial.mkdir(mode=0o700)
        yield partial
        restrict_permissions(partial, everything=True)
        sync_disk(partial)
        os.rename(partial, target)
        sync_folder(target.parent)
    except BaseException as error:
        shutil.rmtree(partial, ignore_errors=True)
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise ServiceError(
                "DiskFull", f"the disk of {target} is full; the partial copy was removed. Free some space."
            ) from None
        if isinstance(error, sqlite3.OperationalError) and "full" in str(error):
            raise ServiceError(
                "DiskFull", f"the disk of {target} is full; the partial copy was removed. Free some space."
            ) from None
        raise


def _copy(folder: Path, target: Path, state: sqlite3.Connection, index: sqlite3.Connection) -> Findings:
    for name, connection in zip(DATABASES, (state, index), strict=True):
        _copy_database(connection, target / name)
    findings = Findings()
    (target / "objects").mkdir()
    for stored in _list_stored(index):
        findings.objects += 1
        findings.bytes += stored.size
        damage = _copy_stored(folder, target, stored, index)
        if damage:
            findings.damaged.append(f"{stored.name}: {damage}")
    for path in sorted(folder.iterdir()):
        if path.name not in LEFT_OUT and not path.name.startswith("."):
            _copy_entry(path, target / path.name)
    about = {
        "schema": read_layout(folder).schema,
        "gtseg": installed_version(),
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "objects": findings.objects,
        "bytes": findings.bytes,
        "damaged": findings.damaged,
    }
    write_atomically(target / BACKUP_FILE, json.dumps(about, indent=1).encode())
    return findings


def _copy_database(source: sqlite3.Connection, target: Path) -> None:
    """Copy the snapshot of `source` into one database file without a write-ahead log."""
    copy = sqlite3.connect(target, isolation_level=None)
    try:
        source.backup(copy)
        copy.execute(f"PRAGMA application_id={AT_REST}")
    finally:
        copy.close()


def _copy_stored(folder: Path, target: Path, stored: Stored, index: sqlite3.Connection) -> str:
    if stored.file < 0:
        return _examine(folder, stored, index)
    source, copy = locate(folder / "objects", stored.file), locate(target / "objects", stored.file)
    os.makedirs(os.path.dirname(copy), exist_ok=True)
    try:
        shutil.copyfile(source, copy)
    except FileNotFoundError:
        return f"{source} is missing"
    return _examine(target, stored, index)  # reads the copy from the page cache


def _copy_entry(source: Path, target: Path) -> None:
    """Copy a file or a folder as it is now; ignore files that a running job removes meanwhile, and process folders."""
    with contextlib.suppress(FileNotFoundError):
        if source.is_dir():
            shutil.copytree(
                source,
                target,
                ignore=shutil.ignore_patterns("process"),
                ignore_dangling_symlinks=True,
                copy_function=_copy_file,
            )
        elif source.is_file():
            _copy_file(str(source), str(target))


def _copy_file(source: str, target: str) -> str:
    with contextlib.suppress(FileNotFoundError):
        shutil.copyfile(source, target)
    return target


def _read_about(backup: Path) -> dict[str, Any]:
    path = backup / BACKUP_FILE
    try:
        return read_document(path, {"schema": int, "gtseg": str}, remedy="This backup cannot be used; use another one.")
    except FileNotFoundError:
        raise ServiceError(
            "NoBackup",
            f"{backup} is not a complete backup: it has no {BACKUP_FILE}, which gtseg local backup writes last.",
        ) from None
