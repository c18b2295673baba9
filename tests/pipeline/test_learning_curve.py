"""`gtseg status`: mIoU on the test split by number of labeled images."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from labeling_project import Project

from gtseg.cli import main
from gtseg.pipeline.run import DatasetSection, EvaluationSection, Run
from gtseg.pipeline.stages.evaluate.stage import add_point


def evaluate(
    run: Run, *, train: int, miou: float | None, interval: tuple[float, float] | None, by_machine: int = 0
) -> Run:
    """Return the run with the score of a model trained on `labeled` images, on the same ten test images."""
    data = DatasetSection(
        channels="s3://b/r/channels/",
        classes=("BACKGROUND", "cat"),
        counts={"train": train, "validation": 20, "test": 10},
        by_machine={"train": by_machine},
        fingerprint=f"of {train}",
    )
    section = EvaluationSection(
        split="test",
        images=10,
        miou=miou,
        intervals={"miou": interval} if interval else {},
        made=datetime(2026, 11, 30, tzinfo=UTC),
    )
    return run.update(dataset=data, evaluation=section, learning=add_point(run.learning, data, section))


def print_status(project: Project, run: Run, capsys: pytest.CaptureFixture[str]) -> list[str]:
    project.run_file.save(run)
    with pytest.raises(SystemExit) as end:
        main(["status", "--settings", str(project.folder / "gtseg.toml")])
    assert not end.value.code
    return [line.strip() for line in capsys.readouterr().out.splitlines() if "images labeled" in line]


def test_status_shows_miou_on_the_test_split_against_images_labeled(
    project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    project.image("a.jpg")
    project.label()
    run = evaluate(project.run, train=80, miou=0.71, interval=(0.65, 0.76))
    assert print_status(project, run, capsys) == [], "one model is no curve"
    run = evaluate(project.run, train=130, miou=0.78, interval=None, by_machine=40)
    run = evaluate(run, train=180, miou=0.80, interval=(0.75, 0.84))
    run = evaluate(run, train=180, miou=0.81, interval=(0.76, 0.85))  # evaluated once more
    run = evaluate(run, train=200, miou=None, interval=None)  # no class occurs in what was scored
    assert print_status(project, run, capsys) == [
        "100 images labeled: mIoU 0.7100 (0.650 to 0.760) on 10 test images",
        "150 images labeled (40 by a model): mIoU 0.7800 on 10 test images",
        "200 images labeled: mIoU 0.8100 (0.760 to 0.850) on 10 test images",
        "220 images labeled: no score on 10 test images",
    ]
