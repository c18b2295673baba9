"""File locks."""

from __future__ import annotations

import fcntl
from pathlib import Path

from gtseg.local.locks import is_locked


def test_a_file_is_locked_while_a_process_holds_an_exclusive_lock(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    assert not is_locked(path)
    with path.open("w") as file:
        assert not is_locked(path)
        fcntl.flock(file, fcntl.LOCK_SH)
        assert not is_locked(path)
        fcntl.flock(file, fcntl.LOCK_EX)
        assert is_locked(path)
    assert not is_locked(path)
