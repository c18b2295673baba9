"""Small files: atomic, durable writes and validated reads."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gtseg.local.storage.database import damaged
from gtseg.local.storage.sync import sync_file, sync_folder


def write_atomically(path: Path, content: bytes, *, mode: int = 0o600) -> None:
    """Write `content` to `path` atomically; the file is synced to disk before this returns."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            sync_file(file.fileno())
        os.replace(temporary, path)
        sync_folder(path.parent)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def read_document(path: Path, members: Mapping[str, type], *, remedy: str) -> dict[str, Any]:
    """Return the JSON object at `path`, checked to have these members of these types.

    Raises FileNotFoundError, or ServiceError, whose message names the file and ends with `remedy`.
    """
    try:
        if path.exists() and not path.is_file():  # opening a named pipe would block
            raise damaged(path, "is not a regular file", remedy)
        content = path.read_bytes()
    except FileNotFoundError:
        raise
    except OSError as error:
        raise damaged(path, f"cannot be read ({error.strerror})", remedy) from None
    if not content.strip(b" \r\n\t\0"):
        raise damaged(path, "is empty", remedy)
    try:
        document = json.loads(content)
    except (ValueError, RecursionError):
        raise damaged(path, "is not valid JSON: it is damaged or truncated", remedy) from None
    for name, kind in members.items():
        if not isinstance(document, dict) or not isinstance(document.get(name), kind):
            raise damaged(path, f"has no valid {name!r}", remedy)
    return dict(document)
