"""Log of API calls that change something, except S3 object traffic: one JSON line per call in DATA/calls.jsonl.

A full file is renamed to calls.jsonl.1, the previous one to calls.jsonl.2, and so on; the oldest is deleted.
"""

from __future__ import annotations

import contextlib
import json
import os
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

FILE_BYTES = 16 << 20
KEPT_FILES = 4
NAME_CHARACTERS = 1024
MUTATING = ("Create", "Stop", "Delete", "Update", "Put")


class CallLog:
    """The log of one data folder; `file_bytes`: size at which the file is rotated."""

    def __init__(self, path: Path, *, file_bytes: int = FILE_BYTES) -> None:
        self._path, self._file_bytes = path, file_bytes
        self._descriptor = self._open()
        self._lock = threading.Lock()
        self._end_line(path)

    def _open(self) -> int:
        return os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def record(self, *, service: str, operation: str, name: str, status: int, code: str) -> None:
        """Append one line if the operation changes something; `code` is the AWS error code or ''."""
        if not operation.startswith(MUTATING):
            return
        call = {
            "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "service": service,
            "operation": operation,
            "name": name[:NAME_CHARACTERS],
            "status": status,
            "code": code,
        }
        with self._lock:
            self._append(json.dumps(call, ensure_ascii=False).encode("utf-8", "replace") + b"\n")

    def _end_line(self, path: Path) -> None:
        """Terminate the last line if a power failure truncated it, so that the next call starts a new line."""
        size = os.fstat(self._descriptor).st_size
        with path.open("rb") as file:
            file.seek(max(0, size - 1))
            if file.read() not in (b"", b"\n"):
                self._append(b"\n")

    def _append(self, line: bytes) -> None:
        """Append a whole line or, on a full disk, nothing: a partial line would corrupt the next one too."""
        size = os.fstat(self._descriptor).st_size
        if size and size + len(line) > self._file_bytes:
            self._rotate()
            size = os.fstat(self._descriptor).st_size
        try:
            while line:
                line = line[os.write(self._descriptor, line) :]
        except OSError:
            os.ftruncate(self._descriptor, size)
            raise

    def _rotate(self) -> None:
        """Start a new file; if a file cannot be renamed, the current one grows further."""
        names = [
            self._path,
            *(self._path.with_name(f"{self._path.name}.{n}") for n in range(1, KEPT_FILES + 1)),
        ]
        with contextlib.suppress(OSError):
            for older, newer in zip(names[:0:-1], names[-2::-1], strict=True):
                if newer.exists():
                    newer.replace(older)
            fresh = self._open()
            os.close(self._descriptor)
            self._descriptor = fresh

    def close(self) -> None:
        os.close(self._descriptor)


def find_operation(headers: dict[str, str], body: bytes) -> str:
    """Return the operation of a JSON (X-Amz-Target) or query (Action=) request; '' if it has none."""
    target = headers.get("x-amz-target")
    if target is not None:
        return target.rpartition(".")[2]
    if "x-www-form-urlencoded" in headers.get("content-type", ""):
        return dict(parse_qsl(body.decode("utf-8", "replace"))).get("Action", "")
    return ""


def find_name(operation: str, headers: dict[str, str], body: bytes) -> str:
    """Return the name of a call's resource: `<Thing>Name` of the operation's resource type, else
    the first Name or Arn.
    """
    request = _read_request(headers, body)
    thing = operation
    for verb in MUTATING:
        thing = thing.removeprefix(verb)
    keys = [f"{thing}Name", *(key for key in request if key.lower().endswith("name")), f"{thing}Arn"]
    keys += [key for key in request if key.lower().endswith("arn")]
    return next((str(request[key]) for key in keys if isinstance(request.get(key), str)), "")


def _read_request(headers: dict[str, str], body: bytes) -> dict[str, Any]:
    try:
        if "x-amz-target" in headers:
            request = json.loads(body or b"{}")
            return request if isinstance(request, dict) else {}
        return dict(parse_qsl(body.decode()))
    except (ValueError, RecursionError):
        return {}
