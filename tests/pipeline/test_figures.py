from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

import gtseg
from gtseg.pipeline.commands.figures import export_evaluation


def test_figures_of_an_evaluation_of_any_masks_are_exported(tmp_path: Path) -> None:
    masks = [np.array([[0, 1], [2, 255]], np.uint8)]
    scores = gtseg.evaluate(masks, masks, labels=["cat", "=HYPERLINK(1)"])
    names = export_evaluation(scores.section, str(tmp_path))
    assert sorted(names) == sorted(path.name for path in tmp_path.iterdir())
    with (tmp_path / "confusion.csv").open(newline="") as file:
        assert [row["cat"] for row in csv.DictReader(file)] == ["0", "1", "0"]
    with (tmp_path / "classes.csv").open(newline="") as file:
        assert [row["name"] for row in csv.DictReader(file)][2] == "'=HYPERLINK(1)"
    assert "<title>" in (tmp_path / "confusion.svg").read_text()
