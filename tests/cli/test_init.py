from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from PIL import Image

from gtseg.cli import main
from gtseg.settings import load


def init(*arguments: str) -> int:
    with pytest.raises(SystemExit) as end:
        main(["init", *arguments])
    return int(end.value.code or 0)


def test_init_writes_settings_that_load_and_a_template(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "My cats (2026)"
    folder.mkdir()
    monkeypatch.chdir(folder)
    assert init() == 0
    assert load(environ={}).project.name == "My-cats-2026"
    assert "<crowd-semantic-segmentation" in (folder / "template.liquid").read_text()


def test_existing_files_are_kept_and_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "gtseg.toml").write_text("mine")
    assert init(str(tmp_path), "--json") == 0
    assert (tmp_path / "gtseg.toml").read_text() == "mine"
    out, err = capsys.readouterr()
    assert json.loads(out) == {"gtseg.toml": "exists already, not changed", "template.liquid": "written"}
    assert "exists already" in err


def test_a_given_project_name_is_checked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert init(str(tmp_path / "new"), "--name", "turtles") == 0
    assert tomllib.loads((tmp_path / "new" / "gtseg.toml").read_text())["project"]["name"] == "turtles"
    assert init(str(tmp_path / "other"), "--name", "a b") == 2
    assert "a b" in capsys.readouterr().err
    assert not (tmp_path / "other").exists()


def test_a_folder_that_is_not_writable_is_one_line_without_a_traceback(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    command = [
        sys.executable,
        "-m",
        "gtseg",
        "import",
        "masks",
        str(tmp_path),
        str(tmp_path),
        "--out",
        str(tmp_path / "file/x"),
    ]
    made = tmp_path / "photo.jpg"
    Image.new("RGB", (8, 8)).save(made)
    Image.new("L", (8, 8), 1).save(tmp_path / "photo.png")
    done = subprocess.run(
        [*command, "--labels", "cat", "--yes", "--no-upload"], capture_output=True, text=True, cwd=tmp_path
    )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "file" in done.stderr.splitlines()[-1]
