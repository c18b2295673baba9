"""The sentence is walked in its order, from where the run stands."""

from __future__ import annotations

from typing import Any

import pytest

from gtseg.errors import SettingsError
from gtseg.pipeline.run import DatasetSection, LabelingJobSection, Run
from gtseg.pipeline.stages.order import STAGES, exit_code, until_stage, walk

JOB = LabelingJobSection(name="j", arn="a", label_attribute="j-ref", workforce="private", objects=3)


def done(run: Run) -> list[str]:
    return [stage.name for stage in STAGES if stage.is_done(run)]


def test_the_sentence_begins_with_label_watch_dataset() -> None:
    assert [stage.name for stage in STAGES][:3] == ["label", "watch", "dataset"]


def test_every_stage_has_its_function_in_the_module_of_its_name() -> None:
    for stage in STAGES:
        assert callable(stage.walk)


def test_until_names_a_stage_and_includes_it() -> None:
    assert [stage.name for stage in until_stage("watch")] == ["label", "watch"]
    assert until_stage(None) == STAGES
    with pytest.raises(SettingsError, match="label, watch, dataset"):
        until_stage("wacht")


def test_a_failed_or_stopped_job_counts_as_none(project: Any) -> None:
    run = project.run
    assert done(run) == []
    assert done(run.update(labeling_job=JOB)) == ["label"]
    assert done(run.update(labeling_job=JOB.model_copy(update={"status": "Failed"}))) == []
    assert done(run.update(labeling_job=JOB.model_copy(update={"status": "Completed"}))) == ["label", "watch"]


def test_a_dataset_of_labels_from_elsewhere_needs_no_labeling(project: Any) -> None:
    """`gtseg dataset --manifest` of a finished job: `run` and `serve` go on with train, they label nothing."""
    section = DatasetSection(
        channels="s3://b/c/", classes=("BACKGROUND", "cat"), counts={}, fingerprint="f", source="s3://old/m"
    )
    run = project.run.update(dataset=section)
    assert done(run) == ["label", "watch", "dataset"]
    assert STAGES[0].summary(run) == "elsewhere: s3://old/m"
    assert done(run.update(labeling_job=JOB)) == ["label", "dataset"]


def test_what_was_left_out_is_exit_code_5(project: Any) -> None:
    counts = {"train": 1, "rejected": 1, "failed": 0}
    section = DatasetSection(
        channels="s3://b/c/", classes=("BACKGROUND", "cat"), counts=counts, fingerprint="f"
    )
    run = project.run.update(labeling_job=JOB, dataset=section)
    assert (exit_code(run, "label"), exit_code(run, "dataset")) == (0, 5)
    assert exit_code(run.update(labeling_job=JOB.model_copy(update={"rejected": 2})), "label") == 5


def test_a_walk_saves_each_stage_before_the_next_and_skips_what_is_done(project: Any) -> None:
    project.image("a.jpg")
    stages = until_stage("label")
    run = walk(project.run, project.context(), stages)
    assert project.run == run
    assert walk(run, project.context(), stages) == run
    assert "done already" in project.events[-1].message
