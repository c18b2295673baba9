"""An object key as a path below a folder. Everything that writes files named by keys goes through here."""

from __future__ import annotations

from pathlib import Path

__all__ = ["UnsafeKey", "path_below"]


class UnsafeKey(ValueError):
    """The key cannot be the name of a file below the folder; the text says why."""

    def __init__(self, key: str, reason: str) -> None:
        super().__init__(f"the key {key!r} cannot be a file name below the folder: {reason}")
        self.key, self.reason = key, reason


def path_below(folder: Path, key: str) -> Path:
    """The path that a key has below a folder. Raises UnsafeKey if it would lie anywhere else.

    Refused: absolute keys, `..`, NUL, keys that name a folder (empty, or `/` or `.` at the end), and paths that a symbolic
    link on this disk leads out of the folder. Empty segments and `.` in the middle count for nothing, as on any POSIX file
    system. Nothing is created.
    """
    reason = _find_fault(key)
    if reason:
        raise UnsafeKey(key, reason)
    path = folder / key
    try:
        is_inside = path.resolve().is_relative_to(folder.resolve())
    except (OSError, RuntimeError, ValueError) as error:  # a loop of links, a name that is too long
        raise UnsafeKey(key, getattr(error, "strerror", None) or str(error)) from None
    if not is_inside:
        raise UnsafeKey(key, "a symbolic link leads out of the folder")
    return path


def _find_fault(key: str) -> str:
    """What is wrong with a key, whatever is on the disk; empty if nothing is."""
    segments = key.split("/")
    if segments[-1] in ("", "."):
        return "it names a folder"
    if key.startswith("/"):
        return "it is an absolute path"
    if "\0" in key:
        return "it contains a NUL character"
    return "it has a segment .." if ".." in segments else ""
