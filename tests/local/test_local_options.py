"""Server options and their command line flags."""

from __future__ import annotations

from pathlib import Path

import pytest

from gtseg.local.embedded import Options
from gtseg.local.options import ServerOptions, read_values


def test_flags_are_made_for_options_that_differ_from_their_default(tmp_path: Path) -> None:
    options = ServerOptions(train_seconds=5.0, crowd_masks=tmp_path, crowd_void=0, crowd_drop_void=True)
    flags = ["--train-seconds=5.0", f"--crowd-masks={tmp_path}", "--crowd-void=0", "--crowd-drop-void"]
    assert options.flags() == flags
    assert ServerOptions().flags() == []


def test_paths_become_absolute(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "masks").mkdir()
    assert ServerOptions(crowd_masks=Path("masks")).check().crowd_masks == tmp_path / "masks"


def test_a_server_has_every_option_of_the_command_line() -> None:
    assert Options(**vars(ServerOptions(max_jobs=2))).max_jobs == 2


@pytest.mark.parametrize("text", ["1-", "a", "1,1", "300"])
def test_invalid_mask_values_are_refused_with_the_option(text: str) -> None:
    with pytest.raises(ValueError, match=f"--label-values {text}: must be distinct values"):
        read_values(text, "--label-values")
