"""The notebooks of docs/, executed against the embedded AWS."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from local_aws import LocalAWS
from nbclient import NotebookClient

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = sorted((ROOT / "docs" / "notebooks").glob("*.ipynb"))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAWS]:
    """Embedded AWS with the options of `gtseg local exec` and short training."""
    folder = tmp_path_factory.mktemp("notebooks")
    (folder / "work").mkdir()
    aws = LocalAWS(folder / "aws", options={"train_seconds": 3})
    yield aws
    aws.stop()


def executed(path: Path, server: LocalAWS, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return the executed notebook. An error in a cell fails the test with the cell's traceback."""
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("GTSEG_LOCAL_DATA", str(server.folder))
    monkeypatch.setenv("GTSEG_CATS", str(ROOT / "tests" / "data" / "cats"))
    notebook = nbformat.read(path, as_version=4)
    work = server.folder.parent / "work"
    NotebookClient(notebook, timeout=200, resources={"metadata": {"path": str(work)}}).execute()
    return notebook


def outputs(notebook: Any) -> list[dict[str, Any]]:
    return [out.get("data", {}) for cell in notebook.cells for out in cell.get("outputs", [])]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_and_shows_pictures(path: Path, server: LocalAWS, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = outputs(executed(path, server, monkeypatch))
    html = [data["text/html"] for data in shown if "text/html" in data]
    assert sum("image/png" in data for data in shown) >= 1
    assert sum("<img src='data:image/jpeg" in text for text in html) >= 2
    assert sum("<svg " in text for text in html) >= 2
    assert any("dataframe" in text for text in html)


def test_notebooks_are_kept_without_outputs() -> None:
    for path in NOTEBOOKS:
        cells = nbformat.read(path, as_version=4).cells
        assert not any(cell.get("outputs") for cell in cells), f"{path.name}: clear all outputs before it is committed"


def test_one_notebook_goes_from_labels_to_a_report_and_one_reads_an_old_job() -> None:
    assert [path.stem for path in NOTEBOOKS] == ["label-to-report", "old-ground-truth-job"]
