"""[labeling] gold on the embedded AWS: gold images, the job's request, refusals."""

from __future__ import annotations

import json
from functools import partial
from typing import Any

import numpy as np
import pytest
from PIL import Image
from polling import wait_for

from gtseg.aws.groundtruth import GroundTruth
from gtseg.aws.s3 import S3
from gtseg.errors import StageError


@pytest.fixture
def three(project: Any) -> Any:
    for number, name in enumerate(("a.jpg", "deep/b.jpg", "c.png")):
        project.image(name, color=number)
    return project


def put_mask(project: Any, name: str) -> None:
    folder = project.folder / "known"
    folder.mkdir(exist_ok=True)
    Image.fromarray(np.ones((24, 32), np.uint8)).save(folder / name)


def await_begun(project: Any, name: str) -> str:
    describe = partial(project.clients.sagemaker.describe_labeling_job, LabelingJobName=name)
    return wait_for(lambda: (status := str(describe()["LabelingJobStatus"])) != "Initializing" and status)


def test_images_with_a_known_mask_are_gold_and_not_objects_of_the_job(three: Any) -> None:
    put_mask(three, "b.png")
    three.set("labeling", gold="known/")
    run = three.label()
    name, s3 = run.labeling_job.name, S3(three.clients)
    folder = f"{run.root}labeling/{name}/"
    named = [json.loads(line)["source-ref"] for line in s3.read(f"{folder}input.manifest")[0].splitlines()]
    assert named == [f"{run.root}images/a.jpg", f"{run.root}images/c.png"]
    assert run.labeling_job.objects == 2
    uri = f"{folder}gold/gold.manifest"
    (line,) = s3.read(uri)[0].splitlines()
    assert json.loads(line) == {
        "source-ref": f"{run.root}images/deep/b.jpg",
        "gold-ref": f"{folder}gold/0000.png",
    }
    assert s3.head(f"{run.root}images/deep/b.jpg") is not None
    assert GroundTruth(three.clients).find_job(name).tags["gtseg:gold"] == uri  # type: ignore[union-attr]
    assert await_begun(three, name) == "InProgress"
    assert three.label().attempts == run.attempts, "nothing to do"


def test_masks_below_a_prefix_are_gold_too(three: Any) -> None:
    put_mask(three, "a.png")
    three.label()
    s3 = S3(three.clients)
    s3.write(f"{three.run.root}known/a.png", (three.folder / "known" / "a.png").read_bytes())
    three.set("labeling", gold=f"{three.run.root}known")
    three.set("project", name=f"{three.name}-2")
    run = three.label()
    assert run.labeling_job.objects == 2
    assert await_begun(three, run.labeling_job.name) == "InProgress"


@pytest.mark.parametrize(
    ("masks", "reason"),
    [((), "has 0 masks"), (("d.png",), "d.png: no image"), (("a.png", "b.png", "c.png"), "none is left to label")],
)
def test_gold_without_matching_images_is_refused_before_anything_is_written(
    three: Any, masks: tuple[str, ...], reason: str
) -> None:
    (three.folder / "known").mkdir()
    for name in masks:
        put_mask(three, name)
    three.set("labeling", gold="known")
    with pytest.raises(StageError, match=reason):
        three.label()
    three.set("labeling", gold="nowhere")
    with pytest.raises(StageError, match="does not exist"):
        three.label()


def test_two_gold_images_with_equal_names_are_refused(three: Any) -> None:
    three.image("other/a.png", color=9)
    put_mask(three, "a.png")
    three.set("labeling", gold="known")
    with pytest.raises(StageError, match="several images have this name"):
        three.label()
