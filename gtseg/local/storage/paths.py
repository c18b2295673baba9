"""Object keys as paths below a folder. All code that writes files named by keys must use this module."""

from __future__ import annotations

from pathlib import Path


class UnsafeKey(ValueError):
    """The key cannot be used as a file name below the folder; the message gives the reason."""

    def __init__(self, key: str, reason: str) -> None:
        super().__init__(f"the key {key!r} cannot be a file name below the folder: {reason}")
        self.key, self.reason = key, reason


def path_below(folder: Path, key: str) -> Path:
    """Return the path of a key below a folder. Raises UnsafeKey if the path would be outside.

    Rejected: absolute keys, `..`, NUL, keys that name a folder (empty, or ending in `/` or `/.`), and paths that a
    symbolic link leads out of the folder. Empty segments and `.` in the middle are ignored, as in POSIX paths. Nothing
    is created.
    """
    reason = _find_problem(key)
    if reason:
        raise UnsafeKey(key, reason)
    path = folder / key
    try:
        is_inside = path.resolve().is_relative_to(folder.resolve())
    except (OSError, RuntimeError, ValueError) as error:  # a symbolic link loop, a name that is too long
        raise UnsafeKey(key, getattr(error, "strerror", None) or str(error)) from None
    if not is_inside:
        raise UnsafeKey(key, "a symbolic link leads out of the folder")
    return path


def _find_problem(key: str) -> str:
    """Return why a key is invalid on any disk; "" if it is valid."""
    segments = key.split("/")
    if segments[-1] in ("", "."):
        return "it names a folder"
    if key.startswith("/"):
        return "it is an absolute path"
    if "\0" in key:
        return "it contains a NUL character"
    return "it has a segment `..`" if ".." in segments else ""
