from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from gtseg.errors import StageError
from gtseg.pipeline.commands.compare import Contender, compare, contender_of_folder, contender_of_run
from gtseg.pipeline.run import DatasetSection, Run

TRUTH = np.zeros((24, 32), np.uint8)
TRUTH[4:20, 4:20] = 1
HALF = np.zeros_like(TRUTH)
HALF[4:12, 4:20] = 1


def png(values: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(values).save(buffer, "PNG")
    return buffer.getvalue()


def jpeg() -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (32, 24), "teal").save(buffer, "JPEG")
    return buffer.getvalue()


@pytest.fixture
def tested(project: Any) -> Run:
    """Return a run with the test images a, b and c."""
    project.clients.s3.create_bucket(Bucket=f"test-{project.name}")
    run = project.run
    bucket, prefix = run.root.removeprefix("s3://").split("/", 1)
    for stem in "abc":
        project.clients.s3.put_object(Bucket=bucket, Key=f"{prefix}channels/test/{stem}.jpg", Body=jpeg())
        project.clients.s3.put_object(
            Bucket=bucket, Key=f"{prefix}channels/test_annotation/{stem}.png", Body=png(TRUTH)
        )
    counts = {"train": 0, "validation": 0, "test": 3}
    section = DatasetSection(
        channels=f"{run.root}channels/", classes=("BACKGROUND", "cat"), counts=counts, fingerprint="f"
    )
    return run.update(dataset=section)


def folder(path: Path, **masks: np.ndarray) -> Contender:
    path.mkdir()
    for stem, values in masks.items():
        (path / f"{stem}.png").write_bytes(png(values))
    return contender_of_folder(path)


def test_all_runs_are_scored_on_the_images_that_all_predicted(project: Any, tested: Run, tmp_path: Path) -> None:
    good = folder(tmp_path / "good", a=TRUTH, b=TRUTH, c=TRUTH)
    bad = folder(tmp_path / "bad", a=HALF, b=TRUTH)
    page, facts = compare(tested, [good, bad], project.context())
    assert facts["images"] == 2
    assert "only 2 of the 3 test images" in project.told("warning")
    assert facts["columns"][0]["miou"] == 1.0
    assert facts["columns"][1]["classes"]["cat"] == pytest.approx(384 / 512)
    assert page.index("<h3>a</h3>") < page.index("<h3>b</h3>")
    assert "http" not in page.split("</style>")[1]


def test_names_are_escaped_in_the_comparison_page(project: Any, tested: Run, tmp_path: Path) -> None:
    evil = folder(tmp_path / "<script>alert(1)<", a=TRUTH)
    page, _ = compare(tested, [evil], project.context())
    assert "<script>" not in page


def test_runs_without_common_images_are_an_error(project: Any, tested: Run, tmp_path: Path) -> None:
    other = folder(tmp_path / "other", z=TRUTH)
    with pytest.raises(StageError, match="no predicted test image"):
        compare(tested, [other], project.context())


def test_masks_of_another_size_are_refused_by_name(project: Any, tested: Run, tmp_path: Path) -> None:
    small = folder(tmp_path / "small", a=TRUTH[:5])
    with pytest.raises(StageError, match=r"a\.png: 32x5 pixels, but the label has 32x24"):
        compare(tested, [small], project.context())


def test_a_run_without_evaluation_and_an_empty_folder_are_errors_with_a_remedy(
    tested: Run, project: Any, tmp_path: Path
) -> None:
    with pytest.raises(StageError, match="gtseg evaluate"):
        contender_of_run(tested, project.context().s3)
    with pytest.raises(StageError, match="no predicted masks"):
        contender_of_folder(tmp_path)
