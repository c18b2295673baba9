"""Freshness of a stage's result compared to its current inputs."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from gtseg.pipeline.run import (
    Attempt,
    DatasetSection,
    EndpointSection,
    LabelingJobSection,
    Run,
    TrainingJobSection,
)
from gtseg.pipeline.run.freshness import staleness
from gtseg.pipeline.run.provenance import provenance
from gtseg.settings import Settings

NOW = datetime(2026, 1, 1, tzinfo=UTC)
JOB = LabelingJobSection(
    name="r-label-1", arn="a", label_attribute="x-ref", workforce="private", objects=3, status="Completed"
)
ADJUSTED = JOB.model_copy(update={"name": "r-adjust-1", "follows": "r-label-1"})


def settings(**tables: Any) -> Settings:
    return Settings(project={"name": "r"}, **tables)


def dataset(fingerprint: str = "f1", chosen: Settings | None = None, **sources: str) -> DatasetSection:
    origin = provenance(chosen or settings(), "dataset", **sources)
    return DatasetSection(
        channels="c", classes=("BACKGROUND", "cat"), counts={}, fingerprint=fingerprint, made_from=origin
    )


def trained(name: str = "r-train-1", chosen: Settings | None = None, **sources: str) -> TrainingJobSection:
    return TrainingJobSection(
        name=name,
        arn="a",
        image_uri="i",
        instance_type="t",
        hyperparameters={},
        status="Completed",
        made_from=provenance(chosen or settings(), "train", **sources),
    )


def endpoint(chosen: Settings | None = None, **sources: str) -> EndpointSection:
    return EndpointSection(
        name="e",
        arn="a",
        config="c",
        model="m",
        model_data="s3://b/m1",
        image_uri="i",
        instance_type="t",
        status="InService",
        made_from=provenance(chosen or settings(), "deploy", **sources),
    )


def run(**sections: Any) -> Run:
    attempt = Attempt(stage="label", number=1, name="r-label-1", fingerprint="x", recorded=NOW, outcome="created")
    base = Run(name="r", root="s3://b/r/", account="1" * 12, region="us-east-1", created=NOW, attempts=(attempt,))
    return base.update(**sections)


def why(stage: str, chosen: Settings | None = None, **sections: Any) -> str:
    found = staleness(run(**sections), chosen or settings(), stage)
    return found.reason if found else ""


def test_results_made_from_the_runs_current_inputs_are_fresh() -> None:
    sections = {
        "labeling_job": JOB,
        "dataset": dataset(run_labels="r-label-1"),
        "training_job": trained(dataset="f1"),
        "endpoint": endpoint(run_model="r-train-1"),
    }
    assert [why(stage, **sections) for stage in ("dataset", "train", "deploy", "evaluate")] == [""] * 4


@pytest.mark.parametrize(
    "sources",
    [{"run_labels": "r-label-1"}, {"labeling_job": "r-label-1", "manifest": "s3://b/r/labeling/m"}],
    ids=["now", "kept by an earlier gtseg"],
)
def test_new_labels_make_the_dataset_stale(sources: dict[str, str]) -> None:
    assert "newer labels: r-adjust-1" in why("dataset", labeling_job=ADJUSTED, dataset=dataset(**sources))


@pytest.mark.parametrize(
    "sources",
    [
        {"run_labels": "r-label-1", "manifest": "s3://other/m"},
        {"labeling_job": "foreign", "manifest": "s3://other/m"},
    ],
)
def test_a_dataset_of_other_labels_stays_fresh_when_the_run_has_its_own(sources: dict[str, str]) -> None:
    assert why("dataset", labeling_job=JOB, dataset=dataset(**sources)) == ""


def test_an_import_with_the_same_name_and_other_bytes_is_new_labels() -> None:
    first, second = (
        JOB.model_copy(
            update={
                "workforce": "import",
                "output_manifest": "s3://b/r/labeling/x/m",
                "made_from": provenance(settings(), manifest_etag=etag),
            }
        )
        for etag in ("one", "two")
    )
    for sources in (
        {"run_labels": "r-label-1 one"},
        {"manifest": "s3://b/r/labeling/x/m", "manifest_etag": "one"},
    ):
        assert why("dataset", labeling_job=first, dataset=dataset(**sources)) == ""
        assert why("dataset", labeling_job=second, dataset=dataset(**sources))


def test_a_new_dataset_makes_the_model_stale_and_a_new_model_the_endpoint() -> None:
    assert "dataset has changed" in why("train", dataset=dataset("f2"), training_job=trained(dataset="f1"))
    newer = trained("r-train-2", dataset="f2")
    assert "newer model: r-train-2" in why("deploy", training_job=newer, endpoint=endpoint(run_model="r-train-1"))
    legacy = endpoint(training_job="r-train-1", dataset="f1")
    assert "newer model" in why("deploy", training_job=newer, endpoint=legacy)


def test_an_external_model_is_fresh_until_the_run_trains_one() -> None:
    foreign = endpoint(model_data="s3://b/theirs")
    assert why("deploy", training_job=trained(), endpoint=foreign) == ""
    kept = endpoint(model_data="s3://b/theirs", run_model="r-train-1")
    assert why("deploy", training_job=trained(), endpoint=kept) == ""
    assert why("deploy", training_job=trained("r-train-2"), endpoint=kept)


def test_changed_settings_are_named_with_both_values() -> None:
    more = settings(train={"hyperparameters": {"epochs": 30}})
    reason = why("train", more, training_job=trained(chosen=settings()), dataset=dataset())
    assert reason == "[train] hyperparameters.epochs is 30, it was not set"
    split = settings(dataset={"split": {"train": 0.5, "validation": 0.25, "test": 0.25}})
    assert "[dataset] split" in why("dataset", split, dataset=dataset())
    assert why("deploy", settings(deploy={"environment": {"A": "1"}}), endpoint=endpoint())


@pytest.mark.parametrize(
    "chosen",
    [
        settings(train={"max_runtime": "9h", "instance_type": "ml.g5.xlarge"}),
        settings(deploy={"tags": {"a": "b"}, "time_to_live": "3h"}),
    ],
)
def test_settings_without_influence_on_results_make_nothing_stale(chosen: Settings) -> None:
    sections = {"training_job": trained(), "endpoint": endpoint()}
    assert why("train", chosen, **sections) == why("deploy", chosen, **sections) == ""


def test_changed_settings_do_not_make_a_deleted_endpoint_stale() -> None:
    gone = endpoint().model_copy(update={"deleted": NOW})
    assert why("deploy", settings(deploy={"instance_count": 2}), endpoint=gone) == ""
