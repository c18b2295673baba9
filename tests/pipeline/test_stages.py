"""Order of the stages, and the next stages of a run."""

from __future__ import annotations

from typing import Any

import pytest

from gtseg.errors import SettingsError, StageError
from gtseg.pipeline.run import (
    DatasetSection,
    EndpointSection,
    LabelingJobSection,
    Run,
    TrainingJobSection,
    provenance,
)
from gtseg.pipeline.stages.order import (
    STAGES,
    exit_code,
    next_step,
    run_stages,
    standings,
    unevaluable,
    until_stage,
)
from gtseg.settings import Settings

JOB = LabelingJobSection(name="j", arn="a", label_attribute="j-ref", workforce="private", objects=3)


SETTINGS = Settings(project={"name": "r"})


def done(run: Run) -> list[str]:
    return [name for name, standing in standings(run, SETTINGS).items() if standing.is_done]


def test_the_first_stages_are_label_watch_dataset() -> None:
    assert [stage.name for stage in STAGES][:3] == ["label", "watch", "dataset"]


def test_every_stage_has_a_function_in_the_module_of_its_name() -> None:
    for stage in STAGES:
        assert callable(stage.function)


def test_until_includes_the_named_stage() -> None:
    assert [stage.name for stage in until_stage("watch")] == ["label", "watch"]
    assert until_stage(None) == STAGES
    with pytest.raises(SettingsError, match="label, watch, dataset"):
        until_stage("wacht")


def test_a_failed_or_stopped_job_counts_as_missing(project: Any) -> None:
    run = project.run
    assert done(run) == []
    assert done(run.update(labeling_job=JOB)) == ["label"]
    assert done(run.update(labeling_job=JOB.model_copy(update={"status": "Failed"}))) == []
    assert done(run.update(labeling_job=JOB.model_copy(update={"status": "Completed"}))) == ["label", "watch"]


def test_a_dataset_from_an_external_manifest_needs_no_labeling(project: Any) -> None:
    """After `gtseg dataset --manifest`, `run` and `serve` continue with train."""
    section = DatasetSection(
        channels="s3://b/c/", classes=("BACKGROUND", "cat"), counts={}, fingerprint="f", source="s3://old/m"
    )
    run = project.run.update(dataset=section)
    assert done(run) == ["label", "watch", "dataset"]
    assert STAGES[0].summary(run) == "other source: s3://old/m"
    begun = run.update(labeling_job=JOB)
    assert done(begun) == ["label"]
    assert standings(begun, SETTINGS)["dataset"].reason == "watch comes first"


def test_predict_follows_the_endpoint_of_an_external_model(project: Any) -> None:
    section = EndpointSection(
        name="e",
        arn="a",
        config="c",
        model="m",
        model_data="s3://x/m",
        image_uri="i",
        instance_type="t",
        status="InService",
    )
    assert next_step(project.run, SETTINGS) == "label"
    assert next_step(project.run.update(endpoint=section), SETTINGS) == "predict"


def test_new_labels_make_later_stages_pending(project: Any) -> None:
    origin = provenance(SETTINGS, "dataset", run_labels="j")
    section = DatasetSection(
        channels="s3://b/c/", classes=("BACKGROUND", "cat"), counts={}, fingerprint="f", made_from=origin
    )
    model = TrainingJobSection(
        name="t", arn="a", image_uri="i", instance_type="t", hyperparameters={}, status="Completed"
    )
    labeled = JOB.model_copy(update={"status": "Completed"})
    run = project.run.update(labeling_job=labeled, dataset=section, training_job=model)
    assert done(run) == ["label", "watch", "dataset", "train"]
    adjusted = run.update(labeling_job=labeled.model_copy(update={"name": "j2"}))
    assert done(adjusted) == ["label", "watch"]
    found = standings(adjusted, SETTINGS)
    assert (found["dataset"].reason, found["train"].reason) == (
        "the run has newer labels: j2",
        "dataset comes first",
    )


def test_a_run_without_test_images_is_not_trained(project: Any) -> None:
    section = DatasetSection(
        channels="s3://b/c/",
        classes=("BACKGROUND", "cat"),
        counts={"train": 3, "validation": 1, "test": 0},
        fingerprint="f",
    )
    run = project.run.update(dataset=section)
    with pytest.raises(StageError, match=r"train was not started: none of the 4 images.*evaluate.required=false"):
        run_stages(run, project.context())
    assert not unevaluable(run, SETTINGS, until_stage("deploy"))


def test_omitted_images_are_exit_code_5(project: Any) -> None:
    counts = {"train": 1, "rejected": 1, "failed": 0}
    section = DatasetSection(channels="s3://b/c/", classes=("BACKGROUND", "cat"), counts=counts, fingerprint="f")
    run = project.run.update(labeling_job=JOB, dataset=section)
    assert (exit_code(run, "label"), exit_code(run, "dataset")) == (0, 5)
    assert exit_code(run.update(labeling_job=JOB.model_copy(update={"rejected": 2})), "label") == 5


def test_each_stage_is_saved_before_the_next_and_done_stages_are_skipped(project: Any) -> None:
    project.image("a.jpg")
    stages = until_stage("label")
    run = run_stages(project.run, project.context(), stages)
    assert project.run == run
    assert run_stages(run, project.context(), stages) == run
    assert "done already" in project.events[-1].message
