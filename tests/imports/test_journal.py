import json
from pathlib import Path

import numpy as np
import pytest

from gtseg.core.files import write_atomically
from gtseg.errors import ManifestError
from gtseg.imports.journal import run_tasks
from gtseg.imports.outcomes import Outcome, Skipped
from gtseg.imports.output_files import write_pair


def work(task: tuple[Path, str]) -> list[Outcome]:
    folder, name = task
    if name == "bad":
        return [Skipped(name, "bad")]
    if name == "crash":
        raise RuntimeError("killed")
    return [write_pair(folder, name, b"jpeg", np.ones((2, 2), np.uint8), classes=1, source=name)]


def run(folder: Path, *names: str, **settings: object):
    return run_tasks(
        folder, [(n, (folder, n)) for n in names], work, classes=["a"], settings=settings, name="t", workers=1
    )


def test_the_manifest_is_sorted_and_skipped_inputs_are_reported(tmp_path: Path) -> None:
    report = run(tmp_path, "b", "bad", "a")
    sources = [json.loads(line)["source-ref"] for line in (tmp_path / "output.manifest").read_text().splitlines()]
    assert sources == ["images/a.jpg", "images/b.jpg"]
    assert [s.reason for s in report.skipped] == ["bad"]


def test_an_interrupted_import_has_no_manifest_and_is_resumed(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError):
        run(tmp_path, "a", "crash", "b")
    assert not (tmp_path / "output.manifest").exists()
    (tmp_path / "images/a.jpg").write_bytes(b"kept")
    with pytest.raises(RuntimeError):
        run(tmp_path, "a", "b", "crash")
    assert (tmp_path / "images/a.jpg").read_bytes() == b"kept"


def test_an_import_without_tasks_has_an_empty_manifest(tmp_path: Path) -> None:
    assert run(tmp_path).images == 0
    assert (tmp_path / "output.manifest").read_text() == ""


def test_a_repeated_import_with_other_settings_is_rejected(tmp_path: Path) -> None:
    run(tmp_path, "a", size=1)
    with pytest.raises(ManifestError, match="other settings"):
        run(tmp_path, "a", size=2)


def test_a_failed_write_keeps_the_previous_file(tmp_path: Path) -> None:
    write_atomically(tmp_path / "f", b"old")
    with pytest.raises(TypeError):
        write_atomically(tmp_path / "f", 3)  # type: ignore[arg-type]
    assert (tmp_path / "f").read_bytes() == b"old"
