"""tune, and the augmented manifest mode of train, on a real server."""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from typing import Any

import pytest
from trained import Trained, created

from gtseg.aws.clients import Clients
from gtseg.aws.s3 import S3
from gtseg.errors import StageError
from gtseg.pipeline.run import LabelingJobSection
from gtseg.pipeline.train import train, tune
from gtseg.pipeline.train.manifests import write_manifests

LABEL = "m-label-1-ref"


@pytest.fixture
def project(training_aws: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Trained:
    for name, value in training_aws.environment.items():
        if name.startswith("AWS_"):
            monkeypatch.setenv(name, value)
    made = Trained(tmp_path, Clients(), f"t{uuid.uuid4().hex[:8]}")
    _ = made.settings
    made.give_dataset()
    return made


def test_the_best_job_of_the_search_becomes_the_runs(project: Trained, training_aws: Any) -> None:
    project.tables["tune"] = "max_jobs = 2\nseed = 1\nlearning_rate = [0.001, 0.01]\nearly_stopping = false"
    run = project.walk(tune)
    assert run.tuning_job is not None
    assert run.training_job is not None
    values = [job.value for job in run.tuning_job.jobs if job.value is not None]
    assert len(run.tuning_job.jobs) == 2
    assert run.training_job.name == run.tuning_job.jobs[0].name
    assert run.tuning_job.jobs[0].value == max(values)
    assert run.training_job.tuning_job == run.tuning_job.name == f"{project.name}-tune-1"
    assert run.training_job.status == "Completed"
    assert run.training_job.best is not None
    assert "learning_rate" in run.tuning_job.jobs[0].hyperparameters
    again = project.walk(tune)
    assert again.training_job == run.training_job
    assert created(training_aws, "CreateHyperParameterTuningJob", project.name) == [f"{project.name}-tune-1"]


def give_manifest(project: Trained) -> None:
    """An output manifest over the channels' own objects, as if Ground Truth had left them there."""
    run, door = project.run, S3(project.clients)
    assert run.dataset is not None
    lines, records = [], []
    for part, numbers in {"train": range(6), "validation": range(6, 8), "test": range(8, 11)}.items():
        for number in numbers:
            image, mask = (
                f"{run.dataset.channels}{folder}/scene-{number}.{kind}"
                for folder, kind in ((part, "jpg"), (f"{part}_annotation", "png"))
            )
            lines.append(
                {
                    "source-ref": image,
                    LABEL: mask,
                    f"{LABEL}-metadata": {"type": "groundtruth/semantic-segmentation"},
                }
            )
            records.append({"line": number, "image": image, "status": "accepted", "split": part})
    lines.append({"source-ref": "s3://x/rejected.jpg", LABEL: "s3://x/rejected.png"})
    records.append({"line": 11, "image": "s3://x/rejected.jpg", "status": "rejected", "split": "train"})
    for name, rows in (("output.manifest", lines), ("objects.jsonl", records)):
        door.write(f"{run.root}{name}", b"".join(json.dumps(row).encode() + b"\n" for row in rows))
    job = LabelingJobSection(
        name="m-label-1", arn="a", label_attribute=LABEL, workforce="private", objects=11
    )
    data = run.dataset.model_copy(update={"source": f"{run.root}output.manifest"})
    project.run_file.save(run.update(dataset=data, labeling_job=job))


def test_manifests_hold_what_the_dataset_accepted_and_nothing_of_the_test_split(project: Trained) -> None:
    give_manifest(project)
    train_uri, validation_uri, label = write_manifests(
        project.run, project.clients, notify=project.events.append, dry_run=False
    )
    door = S3(project.clients)
    rows = {
        uri: [json.loads(line) for line in door.read(uri)[0].splitlines()]
        for uri in (train_uri, validation_uri)
    }
    assert [len(found) for found in rows.values()] == [6, 2]
    assert all(set(row) == {"source-ref", label} for found in rows.values() for row in found)
    assert not any(
        "/test/" in row["source-ref"] or "rejected" in row["source-ref"]
        for found in rows.values()
        for row in found
    )


def test_a_job_is_trained_from_manifests_without_channel_copies(project: Trained) -> None:
    give_manifest(project)
    project.tables["train"] = 'input = "augmented-manifest"'
    run = project.walk(train)
    answer = project.clients.sagemaker.describe_training_job(TrainingJobName=f"{project.name}-train-1")
    assert answer["AlgorithmSpecification"]["TrainingInputMode"] == "Pipe"
    assert [c["ChannelName"] for c in answer["InputDataConfig"]] == ["train", "validation"]
    assert run.training_job is not None
    assert run.training_job.status == "Completed"


def test_without_an_output_manifest_the_mode_says_what_it_needs(project: Trained) -> None:
    project.tables["train"] = 'input = "augmented-manifest"'
    data = project.run.dataset
    assert data is not None
    run = project.run.update(dataset=data.model_copy(update={"source": ""}))
    with pytest.raises(StageError, match="needs a dataset made from an output manifest"):
        train(run, project.settings, project.clients, notify=project.events.append)
