from __future__ import annotations

import io
import json
import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fault_proxy import FaultProxy, Request
from PIL import Image

from gtseg.aws.s3 import S3
from gtseg.errors import StageError
from gtseg.pipeline.commands.compare import Contender, compare, contender_of_folder, contender_of_run
from gtseg.pipeline.run import DatasetSection, EvaluationSection, Run, RunFile, locate

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
    assert "only 2 of the 3 test images" in project.messages("warning")
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


# --- the command ---


def save_run(project: Any, name: str, *, classes: tuple[str, ...] = ("BACKGROUND", "cat"), **masks: np.ndarray) -> None:
    """Store an evaluated run with the test images a and b, and these predictions."""
    file = RunFile(project.clients, locate(project.settings, project.clients, name=name))
    s3, run = S3(project.clients), file.load()
    s3.ensure_bucket(f"test-{project.name}")
    for stem in "ab":
        s3.write(f"{run.root}channels/test/{stem}.jpg", jpeg())
        s3.write(f"{run.root}channels/test_annotation/{stem}.png", png(TRUTH))
    for stem, values in masks.items():
        s3.write(f"{run.root}predictions/{stem}.png", png(values))
    data = DatasetSection(channels=f"{run.root}channels/", classes=classes, counts={"test": 2}, fingerprint="f")
    scores = EvaluationSection(split="test", images=len(masks), predictions=f"{run.root}predictions/")
    file.save(run.update(dataset=data, evaluation=scores if masks else None))


def write_folder(path: Path, **bodies: bytes) -> None:
    path.mkdir(parents=True)
    for stem, body in bodies.items():
        (path / f"{stem}.png").write_bytes(body)


def test_runs_and_folders_are_compared_and_a_second_comparison_writes_the_same_page(
    project: Any, gtseg: Any, tmp_path: Path
) -> None:
    save_run(project, "good", a=TRUTH, b=TRUTH)
    save_run(project, "bad", a=HALF, b=TRUTH)
    write_folder(tmp_path / "mine/good", a=png(TRUTH), b=png(TRUTH))
    words = ("compare", "good", "bad", "mine/good", "--out", "pages/compare.html")
    code, out, err = gtseg(tmp_path, *words)
    assert (code, out) == (0, "")
    assert err.splitlines()[-4:] == [
        "compare: good: mIoU 1.0000 on 2 test images",
        "compare: bad: mIoU 0.8194 on 2 test images",
        "compare: mine/good: mIoU 1.0000 on 2 test images",
        "compare: pages/compare.html",
    ]
    page = (tmp_path / "pages/compare.html").read_text()
    code, out, _ = gtseg(tmp_path, *words, "--json")
    assert (code, [column["name"] for column in json.loads(out)["columns"]]) == (0, ["good", "bad", "mine/good"])
    assert (tmp_path / "pages/compare.html").read_text() == page


def test_changed_predictions_change_the_page_and_a_failed_comparison_does_not(
    project: Any, gtseg: Any, tmp_path: Path
) -> None:
    save_run(project, "good", a=TRUTH, b=TRUTH)
    write_folder(tmp_path / "mine", a=png(TRUTH), b=png(TRUTH))
    assert "mine: mIoU 1.0000" in gtseg(tmp_path, "compare", "good", "mine")[2]
    page = (tmp_path / "compare.html").read_bytes()
    (tmp_path / "mine/b.png").write_bytes(png(TRUTH * 7))
    code, _, err = gtseg(tmp_path, "compare", "good", "mine")
    assert (code, err.splitlines()[-1]) == (1, "gtseg: mine/b.png: the prediction has the value 7; allowed are 0 to 1")
    (tmp_path / "mine/b.png").write_bytes(b"half a file")
    assert "gtseg: mine/b.png: not a decodable PNG" in gtseg(tmp_path, "compare", "good", "mine")[2]
    assert (tmp_path / "compare.html").read_bytes() == page
    (tmp_path / "mine/b.png").unlink()
    code, _, err = gtseg(tmp_path, "compare", "good", "mine")
    assert "only 1 of the 2 test images were predicted by all" in err
    assert "compare: mine: mIoU 1.0000 on 1 test image\n" in err
    assert "the same 1 test image of run good" in (tmp_path / "compare.html").read_text()


def test_an_interrupted_comparison_ends_with_130_and_keeps_the_earlier_page(
    project: Any, gtseg: Any, shared_aws: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_run(project, "good", a=TRUTH, b=TRUTH)
    (tmp_path / "compare.html").write_text("earlier")

    def interrupt(request: Request) -> None:
        if "/predictions/" in request.path:
            os.kill(os.getpid(), signal.SIGINT)

    with FaultProxy(shared_aws.url, after=interrupt) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
        code, out, err = gtseg(tmp_path, "compare", "good")
    assert (code, out, err.count("gtseg: Interrupted")) == (130, "", 1)
    assert [path.name for path in tmp_path.glob("*.html")] == ["compare.html"]
    assert (tmp_path / "compare.html").read_text() == "earlier"


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["mine"], 2, "mine: folders are scored on the test split of a run, and no run is given: `gtseg compare RUN "),
        (["good", "mine", "./mine"], 2, "mine is given more than once"),
        (["good", "good"], 2, "good is given more than once"),
        (["good", "mine", "--out", "mine"], 2, "--out mine is a folder: give the name of a file, such as mine/compare"),
        (["good", "--out", "gtseg.toml/x.html"], 1, "gtseg.toml/x.html cannot be written: "),
        (["goods"], 3, "Did you mean good? There are: good, idle, swapped. There is no folder goods here either."),
        (["good", "empty"], 3, "There is no run 'empty'"),
        (["good", "empty"], 3, "The folder empty has no masks (.png)."),
        (["good", "empty/"], 3, "empty: no predicted masks (.png) found"),
        (["good", "mine/typo"], 3, "mine/typo: there is no such folder, and it is not the name of a run"),
        (["good", "idle"], 3, "Run 'idle' has not been evaluated: `gtseg evaluate --run idle`"),
        (["good", "swapped"], 3, "Run 'swapped' has the classes BACKGROUND, dog, cat, run 'good' has BACKGROUND, cat:"),
        ([], 2, "Missing argument"),
    ],
)
def test_each_mistake_is_named_with_its_remedy(
    project: Any, gtseg: Any, tmp_path: Path, words: list[str], code: int, message: str
) -> None:
    save_run(project, "good", a=TRUTH, b=TRUTH)
    save_run(project, "swapped", classes=("BACKGROUND", "dog", "cat"), a=TRUTH)
    save_run(project, "idle")
    write_folder(tmp_path / "mine", a=png(TRUTH))
    write_folder(tmp_path / "empty")
    found, out, err = gtseg(tmp_path, "compare", *words)
    assert (found, out) == (code, "")
    assert message in err
    assert not list(tmp_path.rglob("*.html"))


def test_a_folder_without_masks_does_not_hide_the_run_of_its_name(project: Any, gtseg: Any, tmp_path: Path) -> None:
    save_run(project, "good", a=TRUTH, b=TRUTH)
    (tmp_path / "good").mkdir()
    assert "compare: good: mIoU 1.0000" in gtseg(tmp_path, "compare", "good")[2]


def test_a_score_that_is_undefined_is_shown_as_unknown(project: Any, gtseg: Any, tmp_path: Path) -> None:
    """All pixels of the labels are void."""
    save_run(project, "good", a=TRUTH, b=TRUTH)
    for stem in "ab":
        uri = f"{locate(project.settings, project.clients, name='good')}channels/test_annotation/{stem}.png"
        S3(project.clients).write(uri, png(np.full_like(TRUTH, 255)))
    code, out, err = gtseg(tmp_path, "compare", "good", "--json")
    assert (code, json.loads(out)["columns"][0]["miou"]) == (0, None)
    assert "compare: good: mIoU unknown on 2 test images" in err
