"""Rounds of automated labeling, run step by step and killed around every write."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from labeling_fixture import ACS, PRE, TEAM, TEMPLATE
from PIL import Image

from gtseg.local.embedded import Embedded, Options
from gtseg.local.errors import ServiceError
from gtseg.local.front.protocol import JsonService
from gtseg.local.labeling import register
from gtseg.local.labeling.automated.inference import measure_quality
from gtseg.local.labeling.automated.records import Round, find_round, list_sample
from gtseg.local.labeling.automated.rounds import Automation
from gtseg.local.labeling.automated.sampling import begin_next_round, find_sample_fault, size_validation
from gtseg.local.labeling.automated.training import create_model, name_training
from gtseg.local.labeling.component import Labeling
from gtseg.local.labeling.counts import count_states
from gtseg.local.labeling.jobs import stop_job
from gtseg.local.labeling.masks import encode_mask
from gtseg.local.labeling.records import Job, find_job
from gtseg.local.storage.folder import FolderObjects
from gtseg.local.storage.store import Store
from gtseg.local.training import TrainingJobs

OBJECTS = 200
SAMPLE = 86  # of them: a validation set of 66, and 20 to train on
MASK = np.pad(np.ones((8, 8), np.uint8), 4)
SPECIFICATION = "arn:aws:sagemaker:us-east-1:027400017018:labeling-job-algorithm-specification/semantic-segmentation"


class Killed(BaseException):
    """Simulates kill -9: no later code of the step runs."""


class FragileObjects(FolderObjects):
    """Object storage that raises Killed at the n-th write, before or after writing."""

    countdown = 0
    before = True

    def put(self, *arguments: Any, **more: Any) -> Any:
        self.countdown -= 1
        if self.countdown == 0 and self.before:
            raise Killed
        info = super().put(*arguments, **more)
        if self.countdown == 0:
            raise Killed
        return info


@pytest.fixture
def embedded(tmp_path: Path) -> Iterator[Embedded]:
    made = Embedded(
        store=Store(tmp_path),
        objects=FragileObjects(tmp_path),
        url="http://localhost",
        options=Options(automated_objects=OBJECTS),
    )
    yield made
    made.objects.index.database.close()  # type: ignore[attr-defined]
    made.store.close()


def call(embedded: Embedded, operation: str, request: dict[str, Any]) -> tuple[int, Any, Labeling]:
    service = JsonService("sagemaker")
    component = register(service, embedded)
    status, _, body = service.answer(f"SageMaker.{operation}", json.dumps(request).encode())
    assert isinstance(component, Labeling)
    return status, json.loads(body), component


def make_request(embedded: Embedded, *, objects: int = OBJECTS, **more: Any) -> dict[str, Any]:
    embedded.objects.create_bucket("bucket")
    lines = "".join(json.dumps({"source-ref": f"s3://bucket/{n}.jpg"}) + "\n" for n in range(objects))
    for key, body in (
        ("manifest", lines),
        ("labels", '{"labels": [{"label": "cat"}]}'),
        ("template", TEMPLATE),
    ):
        embedded.objects.put("bucket", key, body.encode())
    return {
        "LabelingJobName": "Job", "LabelAttributeName": "job-ref",
        "RoleArn": "arn:aws:iam::111122223333:role/GroundTruth",
        "InputConfig": {"DataSource": {"S3DataSource": {"ManifestS3Uri": "s3://bucket/manifest"}}},
        "OutputConfig": {"S3OutputPath": "s3://bucket/out"}, "LabelCategoryConfigS3Uri": "s3://bucket/labels",
        "HumanTaskConfig": {
            "WorkteamArn": TEAM, "UiConfig": {"UiTemplateS3Uri": "s3://bucket/template"}, "PreHumanTaskLambdaArn": PRE,
            "AnnotationConsolidationConfig": {"AnnotationConsolidationLambdaArn": ACS}, "TaskTitle": "t",
            "TaskDescription": "d", "NumberOfHumanWorkersPerDataObject": 1, "TaskTimeLimitInSeconds": 60,
        },
        "LabelingJobAlgorithmsConfig": {"LabelingJobAlgorithmSpecificationArn": SPECIFICATION},
        **more,
    }  # fmt: skip


def start_job(embedded: Embedded, **more: Any) -> tuple[Labeling, Job]:
    """Create a job and choose its first sample."""
    status, body, labeling = call(embedded, "CreateLabelingJob", make_request(embedded, **more))
    assert status == 200, body
    for _ in range(2):
        labeling.engine.advance(find_job(embedded.store, "job"))
    return labeling, find_job(embedded.store, "job")


def label_sample(embedded: Embedded, job: Job) -> None:
    """Label the sample with the same mask everywhere."""
    embedded.objects.put("bucket", "truth.png", encode_mask(MASK, 1))
    result = json.dumps({"job-ref": "s3://bucket/truth.png", "job-ref-metadata": {"human-annotated": "yes"}})
    with embedded.store.write() as connection:
        connection.execute(
            "UPDATE labeling_objects SET state = 'labeled', iteration = 1, stamp = 1.0, result = ? WHERE "
            "job = 'job' AND line IN "
            "(SELECT line FROM labeling_samples WHERE job = 'job')",
            (result,),
        )
        connection.execute("UPDATE labeling_jobs SET iteration = 1 WHERE name = 'job'")


def train(embedded: Embedded, automation: Automation, job: Job) -> None:
    """Create the training job twice, as after a kill, and complete it."""
    set_step(embedded, "train")
    for _ in range(2):
        automation._step(job, round_of(embedded, job))
    jobs = TrainingJobs(embedded)
    assert len(jobs.records.list_by_status()) == 1
    with jobs.records.change(name_training(job, round_of(embedded, job))) as record:
        assert record is not None
        record.status = "Completed"
        bucket, key = record.answer["ModelArtifacts"]["S3ModelArtifacts"].removeprefix("s3://").split("/", 1)
    embedded.objects.put(bucket, key, b"weights")
    automation._step(job, round_of(embedded, job))


def score(embedded: Embedded, job: Job, *, good: int = OBJECTS) -> None:
    """Write the scoring process's output: correct masks for the first `good` objects, low confidence for the rest."""
    root = job.folder(embedded.store) / "automated" / "round-1"
    (root / "output" / "masks").mkdir(parents=True)
    (root / "process").mkdir()
    (root / "process" / "exit").write_text("0\n")
    with (root / "output" / "scores.jsonl").open("w") as file:
        for line in range(OBJECTS):
            confidence = round(0.9 - line / 1000, 4) if line < good else round(0.3 - line / 1000, 4)
            mask = MASK if line < good else np.zeros_like(MASK)
            Image.fromarray(mask).save(root / "output" / "masks" / f"{line:06}.png")
            file.write(
                json.dumps({"name": f"{line:06}", "confidence": confidence, "classes": {"1": confidence}}) + "\n"
            )


def set_step(embedded: Embedded, step: str) -> None:
    with embedded.store.write() as connection:
        connection.execute("UPDATE labeling_rounds SET step = ?", (step,))


def round_of(embedded: Embedded, job: Job) -> Round:
    current = find_round(embedded.store, job)
    assert current is not None
    return current


def run_round(embedded: Embedded) -> Job:
    """Take steps until the round is complete."""
    job = find_job(embedded.store, "job")
    automation = Automation(embedded)
    while round_of(embedded, job).step != "done":
        automation._step(job, round_of(embedded, job))
    return job


def test_the_validation_set_has_the_documented_size_and_a_third_of_a_small_set() -> None:
    assert [size_validation(n) for n in (1250, 1300, 4999, 5000)] == [250, 260, 1000, 500]
    assert [size_validation(n) for n in (60, 296, 400, 1000)] == [20, 98, 100, 200]


def test_the_first_sample_is_random_and_training_excludes_the_validation_set(embedded: Embedded) -> None:
    _, job = start_job(embedded)
    parts = {
        part: [row["line"] for row in list_sample(embedded.store, job, part, state="waiting")]
        for part in ("validation", "training")
    }
    assert (len(parts["validation"]), len(parts["training"])) == (66, 20)
    assert not set(parts["validation"]) & set(parts["training"])
    assert max(parts["validation"]) > 66
    label_sample(embedded, job)
    train(embedded, Automation(embedded), job)
    trained_on = [
        json.loads(line)["source-ref"]
        for channel in ("train", "validation")
        for line in embedded.objects.get("bucket", f"out/Job/training/round-1/{channel}.manifest").splitlines()
    ]
    assert sorted(trained_on) == sorted(f"s3://bucket/{line}.jpg" for line in parts["training"])


@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
@pytest.mark.parametrize("write", [1, 2, 3, 40, 90, 115, 116])
def test_a_kill_around_any_write_labels_nothing_twice(embedded: Embedded, write: int, before: bool) -> None:
    _, job = start_job(embedded)
    label_sample(embedded, job)
    train(embedded, Automation(embedded), job)
    score(embedded, job)
    objects = embedded.objects
    assert isinstance(objects, FragileObjects)
    objects.countdown, objects.before = write, before
    with pytest.raises(Killed):
        run_round(embedded)
    objects.countdown = 0
    run_round(embedded)
    assert count_states(embedded.store, "job")["labeled"] == OBJECTS
    keys = [info.key for info in objects.list("bucket", "out/Job/annotations/")]
    assert len([key for key in keys if key.endswith(".png")]) == len(set(keys)) == OBJECTS - SAMPLE
    described = call(embedded, "DescribeLabelingJob", {"LabelingJobName": "Job"})[1]
    assert described["LabelCounters"]["MachineLabeled"] == OBJECTS - SAMPLE
    assert described["LabelingJobOutput"]["FinalActiveLearningModelArn"].endswith("-1")


def test_the_next_sample_has_the_lowest_confidences_and_shrinks_the_validation_set(embedded: Embedded) -> None:
    """Three in four objects are labeled; validation objects at most as confident as the sample are removed."""
    _, job = start_job(embedded)
    label_sample(embedded, job)
    train(embedded, Automation(embedded), job)
    score(embedded, job, good=OBJECTS * 3 // 4)
    run_round(embedded)
    current = round_of(embedded, job)
    assert current.threshold is not None
    assert current.bound is not None
    assert current.bound >= 0.7
    machine = [row["line"] for row in list_sample(embedded.store, job, "machine")]
    assert machine
    scores = Automation(embedded).read_scores(job, current)
    begin_next_round(embedded.store, job, current, confidences={n: s.confidence for n, s in scores.items()})
    begin_next_round(embedded.store, job, current, confidences={})  # a second time changes nothing
    chosen = [row["line"] for row in list_sample(embedded.store, job, "training", state="waiting")]
    waiting = [
        row["line"]
        for row in embedded.store.read().execute(
            "SELECT line FROM labeling_objects WHERE state = 'waiting' ORDER BY line"
        )
    ]
    assert len(waiting) > 10  # the samples before are random: sometimes fewer than a whole sample is left
    assert chosen == waiting[-20:]  # confidence falls with the line
    left = [row for row in list_sample(embedded.store, job, "validation") if row["gone"] is None]
    assert all(scores[row["line"]].confidence < current.threshold and row["line"] < chosen[0] for row in left)


def test_a_stopping_condition_limits_automatic_labels(embedded: Embedded) -> None:
    _, job = start_job(embedded, StoppingConditions={"MaxPercentageOfInputDatasetLabeled": 50})
    label_sample(embedded, job)
    train(embedded, Automation(embedded), job)
    score(embedded, job)
    run_round(embedded)
    assert count_states(embedded.store, "job")["labeled"] == OBJECTS // 2
    machine = [row["line"] for row in list_sample(embedded.store, job, "machine")]
    assert len(machine) == OBJECTS // 2 - SAMPLE


def test_a_job_fails_if_more_than_a_tenth_of_the_first_sample_failed(embedded: Embedded) -> None:
    labeling, job = start_job(embedded)
    label_sample(embedded, job)
    with embedded.store.write() as connection:
        failing = [row["line"] for row in connection.execute("SELECT line FROM labeling_samples ORDER BY line LIMIT 9")]
        connection.executemany(
            "UPDATE labeling_objects SET state = 'failed', result = 'no' WHERE line = ?",
            [(line,) for line in failing],
        )
    assert "9 of the 86 data objects of the first sample" in find_sample_fault(embedded.store, job)
    labeling.engine.step()
    described = call(embedded, "DescribeLabelingJob", {"LabelingJobName": "Job"})[1]
    assert described["LabelingJobStatus"] == "Failed"
    assert "first sample" in described["FailureReason"]


def test_stopping_a_job_stops_its_training_job(embedded: Embedded) -> None:
    labeling, job = start_job(embedded)
    label_sample(embedded, job)
    set_step(embedded, "train")
    automation = Automation(embedded)
    automation._step(job, round_of(embedded, job))
    stop_job(embedded.store, "Job")
    for _ in range(4):
        labeling.engine.step()
    assert find_job(embedded.store, "job").status == "Stopped"
    (record,) = TrainingJobs(embedded).records.list_by_status()
    assert record.status == "Stopping"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"objects": OBJECTS - 1}, f"at least {OBJECTS:,} data objects; the manifest has {OBJECTS - 1}"),
        (
            {
                "LabelingJobAlgorithmsConfig": {
                    "LabelingJobAlgorithmSpecificationArn": SPECIFICATION.replace(
                        "semantic-segmentation", "image-classification"
                    )
                }
            },
            "is not that of semantic segmentation",
        ),
        (
            {
                "LabelingJobAlgorithmsConfig": {
                    "LabelingJobAlgorithmSpecificationArn": SPECIFICATION,
                    "InitialActiveLearningModelArn": "arn:aws:sagemaker:us-east-1:123456789012:model/none",
                }
            },
            "the model 'none'",
        ),
    ],
)
def test_invalid_settings_are_refused_and_leave_no_files(
    embedded: Embedded, change: dict[str, Any], words: str
) -> None:
    status, body, _ = call(embedded, "CreateLabelingJob", make_request(embedded, **change))
    assert status == 400
    assert words in body["message"]
    assert not list((embedded.store.folder / "labeling").glob("*"))
    with pytest.raises(ServiceError, match="does not exist"):
        find_job(embedded.store, "job")


def put_model(embedded: Embedded, *, classes: int, content: bytes = b"") -> str:
    """Create a model of an earlier job, or with this hyperparams.json; return its ARN."""
    settings = {
        "num_classes": str(classes),
        "_crop_size": "192",
        "algorithm": "psp",
        "backbone": "resnet-50",
        "_network": "efficientnet-lite0",
    }
    body, content = io.BytesIO(), content or json.dumps(settings).encode()
    with tarfile.open(fileobj=body, mode="w:gz") as archive:
        member = tarfile.TarInfo("hyperparams.json")
        member.size = len(content)
        archive.addfile(member, io.BytesIO(content))
    embedded.objects.create_bucket("bucket")
    embedded.objects.put("bucket", "earlier/model.tar.gz", body.getvalue())
    job = Job(
        "old",
        "old",
        "",
        "",
        "",
        "",
        0,
        0,
        "0" * 24,
        (),
        "",
        0,
        json.dumps({"RoleArn": "arn:aws:iam::111122223333:role/G"}),
    )
    return create_model(
        embedded,
        job,
        Round(1, "train", None, None, None, None, None),
        artifact="s3://bucket/earlier/model.tar.gz",
    )


def test_training_continues_from_the_model_of_an_earlier_job(embedded: Embedded) -> None:
    arn = put_model(embedded, classes=2)
    config = {"LabelingJobAlgorithmSpecificationArn": SPECIFICATION, "InitialActiveLearningModelArn": arn}
    _, job = start_job(embedded, LabelingJobAlgorithmsConfig=config)
    label_sample(embedded, job)
    train(embedded, Automation(embedded), job)
    answer = TrainingJobs(embedded).find(name_training(job, round_of(embedded, job))).answer
    channels = {c["ChannelName"]: c["DataSource"]["S3DataSource"]["S3Uri"] for c in answer["InputDataConfig"]}
    assert channels["model"] == "s3://bucket/earlier/model.tar.gz"
    assert (answer["HyperParameters"]["crop_size"], answer["HyperParameters"]["algorithm"]) == ("192", "psp")


def test_a_model_with_other_classes_is_refused(embedded: Embedded) -> None:
    arn = put_model(embedded, classes=5)
    config = {"LabelingJobAlgorithmSpecificationArn": SPECIFICATION, "InitialActiveLearningModelArn": arn}
    status, body, _ = call(embedded, "CreateLabelingJob", make_request(embedded, LabelingJobAlgorithmsConfig=config))
    assert status == 400
    assert "the model has 4 labels without background, but this job has 1" in body["message"]


@pytest.mark.parametrize(
    "content",
    [
        b"[" * 100_000,
        b'{"num_classes": Infinity, "_crop_size": 1}',
        b" " * (2 << 20) + b'{"num_classes": 2}',
        b"\xff",
        b"7",
        b'{"num_classes": "2", "_crop_size": "-5"}',
        b'{"num_classes": "2", "_crop_size": "999999999999"}',
        b'{"num_classes": "2", "_crop_size": "240", "algorithm": "../x"}',
        b'{"num_classes": "2", "_crop_size": "240", "backbone": {}}',
    ],
)
def test_a_model_with_invalid_settings_is_refused(embedded: Embedded, content: bytes) -> None:
    arn = put_model(embedded, classes=2, content=content)
    config = {"LabelingJobAlgorithmSpecificationArn": SPECIFICATION, "InitialActiveLearningModelArn": arn}
    status, body, _ = call(embedded, "CreateLabelingJob", make_request(embedded, LabelingJobAlgorithmsConfig=config))
    assert status == 400
    assert "is not a valid model of this algorithm" in body["message"]


def test_quality_is_the_mean_iou_of_the_images_classes_without_background() -> None:
    truth = np.array([[0, 1, 1, 2]], np.uint8)
    assert measure_quality(truth, truth) == 1
    assert measure_quality(np.array([[0, 1, 0, 2]], np.uint8), truth) == 0.75
    assert measure_quality(np.array([[3, 1, 1, 2]], np.uint8), truth) == pytest.approx(2 / 3)
    assert measure_quality(np.zeros((2, 2), np.uint8), np.zeros((2, 2), np.uint8)) == 1
    assert measure_quality(np.zeros((2, 2), np.uint8), truth) == 0
