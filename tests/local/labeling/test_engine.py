"""The engine, run step by step and killed around every write: no object is lost or duplicated."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from labeling_fixture import ACS, PRE, TEAM, TEMPLATE, draw_answer, draw_picture, square

from gtseg.local.embedded import Embedded
from gtseg.local.front.protocol import JsonService
from gtseg.local.labeling import register
from gtseg.local.labeling.component import Labeling
from gtseg.local.labeling.jobs import stop_job
from gtseg.local.labeling.leases import lease_task
from gtseg.local.labeling.submissions import answer_task
from gtseg.local.labeling.workers import add_worker
from gtseg.local.storage.folder import FolderObjects
from gtseg.local.storage.objects import StorageUnavailable
from gtseg.local.storage.store import Store

OBJECTS = 3


class Killed(BaseException):
    """Simulates kill -9: no later code of the step runs."""


class FragileObjects(FolderObjects):
    """Object storage that raises Killed at the n-th write, before or after writing."""

    countdown = 0
    before = True
    error: BaseException = Killed()

    def put(self, *arguments: Any, **more: Any) -> Any:
        self.countdown -= 1
        if self.countdown == 0 and self.before:
            raise self.error
        info = super().put(*arguments, **more)
        if self.countdown == 0:
            raise self.error
        return info


@pytest.fixture
def embedded(tmp_path: Path) -> Iterator[Embedded]:
    made = Embedded(store=Store(tmp_path), objects=FragileObjects(tmp_path), url="http://localhost")
    yield made
    made.objects.index.database.close()
    made.store.close()


def call(embedded: Embedded, operation: str, request: dict[str, Any]) -> tuple[dict[str, Any], Labeling]:
    service = JsonService("sagemaker")
    component = register(service, embedded)
    status, _, body = service.answer(f"SageMaker.{operation}", json.dumps(request).encode())
    assert status == 200, body
    assert isinstance(component, Labeling)
    return json.loads(body), component


def start_job(embedded: Embedded) -> Labeling:
    objects = embedded.objects
    objects.create_bucket("bucket")
    for number in range(OBJECTS):
        objects.put("bucket", f"{number}.jpg", draw_picture(number))
    lines = "".join(json.dumps({"source-ref": f"s3://bucket/{number}.jpg"}) + "\n" for number in range(OBJECTS))
    for key, body in (
        ("manifest", lines),
        ("labels", '{"labels": [{"label": "cat"}]}'),
        ("template", TEMPLATE),
    ):
        objects.put("bucket", key, body.encode())
    request = {
        "LabelingJobName": "Job", "LabelAttributeName": "job-ref",
        "RoleArn": "arn:aws:iam::111122223333:role/GroundTruth",
        "InputConfig": {"DataSource": {"S3DataSource": {"ManifestS3Uri": "s3://bucket/manifest"}}},
        "OutputConfig": {"S3OutputPath": "s3://bucket/out"}, "LabelCategoryConfigS3Uri": "s3://bucket/labels",
        "HumanTaskConfig": {
            "WorkteamArn": TEAM, "UiConfig": {"UiTemplateS3Uri": "s3://bucket/template"}, "PreHumanTaskLambdaArn": PRE,
            "AnnotationConsolidationConfig": {"AnnotationConsolidationLambdaArn": ACS}, "TaskTitle": "t",
            "TaskDescription": "d", "NumberOfHumanWorkersPerDataObject": 2, "TaskTimeLimitInSeconds": 60,
        },
    }  # fmt: skip
    return call(embedded, "CreateLabelingJob", request)[1]


def step_until_idle(labeling: Labeling) -> None:
    for _ in range(50):
        if not labeling.engine.step():
            return
    raise AssertionError("the engine does not come to rest")


def answer_everything(embedded: Embedded) -> None:
    for name in ("a", "b"):
        worker, _ = add_worker(embedded.store, name, "gtseg")
        while (task := lease_task(embedded.store, "job", worker)) is not None:
            answer_task(embedded.store, task.id, worker, answer=draw_answer(square(), ["cat"]))


def read_output(embedded: Embedded) -> tuple[list[str], list[dict[str, Any]]]:
    keys = [info.key for info in embedded.objects.list("bucket", "out/")]
    return keys, [
        json.loads(line)
        for line in embedded.objects.get("bucket", "out/Job/manifests/output/output.manifest").splitlines()
    ]


def finish(embedded: Embedded) -> dict[str, Any]:
    """Run a new engine on the same data folder until the job ends, as a restarted server does."""
    described, labeling = call(embedded, "DescribeLabelingJob", {"LabelingJobName": "Job"})
    step_until_idle(labeling)
    described, _ = call(embedded, "DescribeLabelingJob", {"LabelingJobName": "Job"})
    return described


@pytest.mark.parametrize("error", [Killed(), StorageUnavailable("no answer")], ids=["killed", "away"])
@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
@pytest.mark.parametrize("write", range(1, 14))
def test_a_kill_or_storage_failure_around_any_write_does_not_change_the_result(
    embedded: Embedded, write: int, before: bool, error: BaseException
) -> None:
    labeling = start_job(embedded)
    step_until_idle(labeling)
    answer_everything(embedded)
    objects = embedded.objects
    assert isinstance(objects, FragileObjects)
    objects.countdown, objects.before, objects.error = write, before, error
    try:
        step_until_idle(labeling)
    except Killed:
        objects.countdown = 0
    described = finish(embedded)
    assert (described["LabelingJobStatus"], described["LabelCounters"]["TotalLabeled"]) == (
        "Completed",
        OBJECTS,
    )
    keys, lines = read_output(embedded)
    masks = sorted(f"s3://bucket/{key}" for key in keys if key.endswith(".png"))
    assert masks == sorted(line["job-ref"] for line in lines)
    assert len(masks) == OBJECTS
    assert sum("worker-response" in key for key in keys) == OBJECTS
    assert (
        sum("consolidation-request" in key for key in keys) == sum("consolidation-response" in key for key in keys) == 1
    )


def test_the_kill_test_covers_every_write_of_a_job(embedded: Embedded) -> None:
    labeling = start_job(embedded)
    step_until_idle(labeling)
    answer_everything(embedded)
    objects = embedded.objects
    assert isinstance(objects, FragileObjects)
    objects.countdown = 1_000
    step_until_idle(labeling)
    assert 8 <= 1_000 - objects.countdown <= 13


def test_a_job_whose_output_bucket_is_deleted_fails_with_the_reason(embedded: Embedded) -> None:
    labeling = start_job(embedded)
    step_until_idle(labeling)
    answer_everything(embedded)
    for info in list(embedded.objects.list("bucket")):
        embedded.objects.delete("bucket", info.key)
    embedded.objects.index.delete_bucket("bucket")
    described = finish(embedded)
    assert described["LabelingJobStatus"] == "Failed"
    assert "NoSuchBucket" in described["FailureReason"]


def test_a_job_with_a_damaged_stored_manifest_waits_and_can_be_stopped(
    embedded: Embedded, caplog: pytest.LogCaptureFixture
) -> None:
    labeling = start_job(embedded)
    step_until_idle(labeling)
    (manifest,) = (embedded.store.folder / "labeling").glob("*/input.manifest")
    whole = manifest.read_bytes()
    answer_everything(embedded)
    for content in (b"", whole[: len(whole) // 2], bytes(len(whole))):
        manifest.write_bytes(content)
        for _ in range(3):
            labeling.engine.step()
        described, _ = call(embedded, "DescribeLabelingJob", {"LabelingJobName": "Job"})
        assert described["LabelingJobStatus"] == "InProgress"
    assert str(manifest) in caplog.text
    assert "Traceback" not in caplog.text
    stop_job(embedded.store, "Job")
    assert finish(embedded)["LabelingJobStatus"] == "Stopped"


def test_a_job_with_a_restored_manifest_completes(embedded: Embedded) -> None:
    labeling = start_job(embedded)
    step_until_idle(labeling)
    (manifest,) = (embedded.store.folder / "labeling").glob("*/input.manifest")
    manifest.rename(manifest.with_name("away"))
    answer_everything(embedded)
    for _ in range(3):
        labeling.engine.step()
    manifest.with_name("away").rename(manifest)
    assert finish(embedded)["LabelingJobStatus"] == "Completed"
    assert len(read_output(embedded)[1]) == OBJECTS
