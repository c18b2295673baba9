"""tune, and train with augmented manifests and with spot instances, on a real server."""

from __future__ import annotations

import io
import json
import re
import tarfile
import uuid
from pathlib import Path
from typing import Any

import pytest
from trained import Trained, created, small_scene

from gtseg.aws.clients import Clients
from gtseg.aws.logs import LogTail
from gtseg.aws.s3 import S3
from gtseg.errors import StageError
from gtseg.pipeline.run import provenance
from gtseg.pipeline.stages.train import train, tune
from gtseg.pipeline.stages.train.manifests import write_manifests


@pytest.fixture
def project(training_aws: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Trained:
    for name, value in training_aws.environment.items():
        if name.startswith("AWS_"):
            monkeypatch.setenv(name, value)
    made = Trained(tmp_path, Clients(), f"t{uuid.uuid4().hex[:8]}")
    _ = made.settings
    made.give_dataset()
    return made


def test_the_best_training_job_of_the_search_becomes_the_runs_model(project: Trained, training_aws: Any) -> None:
    project.tables["tune"] = "max_jobs = 2\nseed = 1\nlearning_rate = [0.001, 0.01]\nearly_stopping = false"
    run = project.run_stage(tune)
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
    again = project.run_stage(tune)
    assert again.training_job == run.training_job
    assert created(training_aws, "CreateHyperParameterTuningJob", project.name) == [f"{project.name}-tune-1"]


def give_objects(project: Trained) -> None:
    """Write objects.jsonl for objects outside the channels."""
    run, s3 = project.run, S3(project.clients)
    assert run.dataset is not None
    records, elsewhere = [], f"{run.root}elsewhere/"
    for part, numbers in {"train": range(6), "validation": range(6, 8), "test": range(8, 11)}.items():
        for number in numbers:
            jpeg, png, _ = small_scene(number)
            place = {"image": f"{elsewhere}{number}.jpg", "mask": f"{elsewhere}{number}.png"}
            s3.write(place["image"], jpeg)
            s3.write(place["mask"], png)
            kept = {
                "object": f"{part}/scene-{number}.jpg",
                "annotation": f"{part}_annotation/scene-{number}.png",
            }
            records.append({"line": number, "status": "accepted", "split": part} | place | kept)
    rejected = {"image": "s3://images/rejected.jpg", "mask": "s3://images/rejected.png", "split": "train"}
    records.append({"line": 11, "status": "rejected"} | rejected)
    write_objects(project, records)


def write_objects(project: Trained, records: list[dict[str, Any]]) -> None:
    body = b"".join(json.dumps(row).encode() + b"\n" for row in records)
    S3(project.clients).write(f"{project.run.root}objects.jsonl", body)


def manifest_rows(project: Trained) -> tuple[list[list[dict[str, str]]], str]:
    """Return the lines of the train and the validation manifest, and the label attribute."""
    *uris, label = write_manifests(project.run, project.context())
    s3 = S3(project.clients)
    return [[json.loads(line) for line in s3.read(uri)[0].splitlines()] for uri in uris], label


def test_manifests_have_the_accepted_objects_without_the_test_split(project: Trained) -> None:
    give_objects(project)
    (train_rows, validation_rows), label = manifest_rows(project)
    root = project.run.root
    assert train_rows == [
        {"source-ref": f"{root}elsewhere/{n}.jpg", label: f"{root}elsewhere/{n}.png"} for n in range(6)
    ]
    assert [row["source-ref"] for row in validation_rows] == [f"{root}elsewhere/{n}.jpg" for n in (6, 7)]


def test_objects_that_the_algorithm_cannot_read_are_replaced_by_channel_objects(project: Trained) -> None:
    """PNG images, masks with other colors or indices, and local files were converted by the dataset stage."""
    ours = {
        "status": "accepted",
        "split": "train",
        "object": "train/a.jpg",
        "annotation": "train_annotation/a.png",
    }
    write_objects(
        project,
        [
            ours | {"image": "s3://photos/a.png", "mask": "s3://photos/a-mask.png", "converted": True},
            ours | {"image": "s3://photos/a.jpg", "mask": "s3://photos/rgba.png", "recoded": True},
            ours | {"image": "/photos/a.jpg", "mask": "/masks/a.png"},
        ],
    )
    (rows, _), label = manifest_rows(project)
    channels = f"{project.run.root}channels/"
    assert [(row["source-ref"], row[label]) for row in rows] == [
        (f"{channels}train/a.jpg", "s3://photos/a-mask.png"),
        ("s3://photos/a.jpg", f"{channels}train_annotation/a.png"),
        (f"{channels}train/a.jpg", f"{channels}train_annotation/a.png"),
    ]


def test_the_label_attribute_of_the_dataset_is_used_if_the_algorithm_accepts_it(project: Trained) -> None:
    give_objects(project)
    data = project.run.dataset
    assert data is not None
    for name, expected in (("turtles-ref", "turtles-ref"), ("turtles", "mask-ref")):
        origin = provenance(project.settings, "dataset", label_attribute=name)
        project.run_file.save(project.run.update(dataset=data.model_copy(update={"made_from": origin})))
        (rows, _), label = manifest_rows(project)
        assert (label, set(rows[0])) == (expected, {"source-ref", expected})


def test_a_job_trains_from_manifests_without_channels(project: Trained) -> None:
    give_objects(project)
    project.tables["train"] = 'input = "augmented-manifest"'
    run = project.run_stage(train)
    answer = project.clients.sagemaker.describe_training_job(TrainingJobName=f"{project.name}-train-1")
    assert answer["AlgorithmSpecification"]["TrainingInputMode"] == "Pipe"
    assert [c["ChannelName"] for c in answer["InputDataConfig"]] == ["train", "validation"]
    assert {c["RecordWrapperType"] for c in answer["InputDataConfig"]} == {"RecordIO"}
    assert run.training_job is not None
    assert run.training_job.status == "Completed"


def test_missing_objects_are_an_error(project: Trained) -> None:
    project.tables["train"] = 'input = "augmented-manifest"'
    with pytest.raises(StageError, match=r"lacks the location of the mask of s3://images/scene-0.jpg"):
        train(project.run, project.context())


def test_an_interrupted_spot_training_continues_from_its_checkpoint(project: Trained) -> None:
    project.tables["train"] = 'spot = true\nmax_runtime = "10m"\nmax_wait = "15m"'
    run = project.run_stage(train)
    sagemaker, name = project.clients.sagemaker, f"{project.name}-train-1"
    answer = sagemaker.describe_training_job(TrainingJobName=name)
    kept = f"{run.root}checkpoints/{'f' * 12}/"
    assert answer["EnableManagedSpotTraining"]
    assert answer["StoppingCondition"] == {"MaxRuntimeInSeconds": 600, "MaxWaitTimeInSeconds": 900}
    assert answer["CheckpointConfig"]["S3Uri"] == kept
    assert list(S3(project.clients).list_objects(kept))
    assert run.training_job is not None
    assert run.training_job.billable_seconds == answer["BillableTimeInSeconds"] > 0

    same = (
        "HyperParameters",
        "RoleArn",
        "InputDataConfig",
        "OutputDataConfig",
        "ResourceConfig",
        "StoppingCondition",
        "CheckpointConfig",
        "EnableManagedSpotTraining",
    )
    image = {key: answer["AlgorithmSpecification"][key] for key in ("TrainingImage", "TrainingInputMode")}
    again = {key: answer[key] for key in same} | {"AlgorithmSpecification": image}
    sagemaker.create_training_job(TrainingJobName=f"{name}-again", **again)
    waiter = sagemaker.get_waiter("training_job_completed_or_stopped")
    waiter.wait(TrainingJobName=f"{name}-again", WaiterConfig={"Delay": 1, "MaxAttempts": 120})
    said = "\n".join(LogTail(project.clients, f"{name}-again").read())
    assert re.search(r"Resuming from /opt/ml/checkpoints/\S+: epoch \d", said)
    artifact = sagemaker.describe_training_job(TrainingJobName=f"{name}-again")["ModelArtifacts"]
    body = S3(project.clients).read(artifact["S3ModelArtifacts"])[0]
    with tarfile.open(fileobj=io.BytesIO(body)) as tar:
        assert sorted(tar.getnames()) == ["hyperparams.json", "model_algo-1", "model_best.params"]
