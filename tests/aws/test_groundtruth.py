"""Ground Truth client against the embedded AWS, and against scripted responses."""

from __future__ import annotations

import io
import uuid
from typing import Any

import pytest
from PIL import Image

from gtseg.aws.clients import Clients
from gtseg.aws.groundtruth import GroundTruth
from gtseg.core.labeling.job import labeling_job_request, plan_labeling_job
from gtseg.errors import AWSError


@pytest.fixture
def truth(shared_aws: Any, monkeypatch: pytest.MonkeyPatch) -> GroundTruth:
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    for name, value in shared_aws.environment.items():
        if name.startswith("AWS_"):
            monkeypatch.setenv(name, value)
    return GroundTruth(Clients())


def request(truth: GroundTruth, name: str, **changes: Any) -> dict[str, Any]:
    """Request of a job for one image in a bucket of its own."""
    s3, bucket = truth._clients.s3, f"b-{name}"
    s3.create_bucket(Bucket=bucket)
    from gtseg.core.labeling.label_file import label_file
    from gtseg.core.labeling.task_template import task_template
    from gtseg.settings.templates import read_template

    page = task_template(read_template("template.liquid"), header="h", instructions="i")
    image = io.BytesIO()
    Image.new("RGB", (8, 8)).save(image, "JPEG")  # a job over an image that is not there ends by itself
    manifest = f'{{"source-ref":"s3://{bucket}/y.jpg"}}\n'.encode()
    files = {"y.jpg": image.getvalue(), "m": manifest, "data.json": label_file(["cat"]), "t": page}
    for key, body in files.items():
        s3.put_object(Bucket=bucket, Key=key, Body=body)
    values: dict[str, Any] = {
        "name": name, "label_attribute": f"{name}-ref", "region": "us-east-1",
        "role_arn": "arn:aws:iam::123456789012:role/gtseg",
        "input_manifest": f"s3://{bucket}/m", "output": f"s3://{bucket}/o/", "label_file": f"s3://{bucket}/data.json",
        "template": f"s3://{bucket}/t", "workforce": "private", "workteam_arn": truth.list_workteams()[0].arn,
        "objects": 1, "labels": 1,
        "title": "t", "description": "d", "keywords": ("k",), "workers_per_object": 1, "task_time_limit": 60,
        "task_lifetime": 600,
        "max_concurrent_tasks": 1, "tags": {"gtseg:fingerprint": "f" * 32},
    }  # fmt: skip
    return labeling_job_request(plan_labeling_job(**(values | changes)))


@pytest.fixture
def name() -> str:
    return f"job-{uuid.uuid4().hex[:8]}"


def test_a_job_is_created_found_with_its_tags_and_stopped(truth: GroundTruth, name: str) -> None:
    arn = truth.create_job(request(truth, name))
    state = truth.find_job(name)
    assert state is not None
    assert (state.arn, state.label_attribute, state.tags) == (
        arn,
        f"{name}-ref",
        {"gtseg:fingerprint": "f" * 32},
    )
    assert state.total in (0, 1)  # the manifest is counted while the job is Initializing
    truth.stop_job(name)
    assert truth.describe_job(name).status in {"Stopping", "Stopped"}


def test_a_job_name_is_in_use_in_any_case_of_letters(truth: GroundTruth, name: str) -> None:
    body = request(truth, name)
    truth.create_job(body)
    with pytest.raises(AWSError) as caught:
        truth.create_job(body | {"LabelingJobName": name.upper()})
    assert caught.value.code == "ResourceInUse"


def test_a_missing_job_is_none_or_a_not_found_error(truth: GroundTruth) -> None:
    assert truth.find_job("no-such-job") is None
    with pytest.raises(AWSError) as caught:
        truth.describe_job("no-such-job")
    assert caught.value.exit_code == 3


def test_jobs_are_listed_newest_first_up_to_the_limit(truth: GroundTruth, name: str) -> None:
    for number in range(3):
        truth.create_job(request(truth, f"{name}-{number}"))
    assert [job.name for job in truth.list_jobs(contains=name, limit=2)] == [f"{name}-2", f"{name}-1"]
    assert len(list(truth.list_jobs(contains=name))) == 3


def test_the_accounts_private_team_is_listed_with_its_portal(truth: GroundTruth) -> None:
    team = truth.list_workteams()[0]
    assert team.arn.endswith(f"/private-crowd/{team.name}")
    assert team.portal


class ScriptedClient:
    """SageMaker client with scripted responses; the last one is repeated."""

    def __init__(self, *script: dict[str, Any]) -> None:
        self.script, self.asked = list(script), 0

    def answer(self, **_: Any) -> dict[str, Any]:
        self.asked += 1
        return self.script.pop(0) if len(self.script) > 1 else self.script[0]

    describe_labeling_job = create_labeling_job = list_workteams = answer

    @property
    def labeling(self) -> ScriptedClient:
        return self


def ask(told: ScriptedClient) -> GroundTruth:
    return GroundTruth(told, sleep=lambda seconds: None)  # type: ignore[arg-type]


ARN = "arn:aws:sagemaker:us-east-1:123456789012:labeling-job/pets"
JOB = {
    "LabelingJobName": "Pets",
    "LabelingJobArn": ARN,
    "LabelingJobStatus": "Completed",
    "LabelCounters": {"TotalLabeled": 3},
    "OutputConfig": {"S3OutputPath": "s3://b/o/"},
    "InputConfig": {},
    "CreationTime": 1,
    "LastModifiedTime": 2,
}


def test_the_end_of_a_job_must_be_described_twice() -> None:
    told = ScriptedClient(JOB | {"LabelCounters": {"TotalLabeled": 8}}, JOB)
    assert ask(told).describe_job("Pets").counters == {"TotalLabeled": 3}
    assert told.asked == 3
    running = ScriptedClient(JOB | {"LabelingJobStatus": "InProgress"})
    assert not ask(running).describe_job("Pets").is_over
    assert running.asked == 1


@pytest.mark.parametrize(
    "damaged",
    [
        {name: value for name, value in JOB.items() if name != "OutputConfig"},
        JOB | {"LabelingJobArn": ARN.replace("east", "&ast")},
        JOB | {"LabelingJobName": "P0ts"},
        JOB | {"OutputConfig": None},
    ],
)
def test_an_implausible_response_is_requested_again(damaged: dict[str, Any]) -> None:
    told = ScriptedClient(damaged, damaged, JOB)
    assert ask(told).describe_job("Pets").arn == ARN
    assert told.asked == 4


def test_an_arn_of_another_job_is_refused() -> None:
    told = ScriptedClient({"LabelingJobArn": ARN.replace("12345", "1g345")}, {"LabelingJobArn": ARN})
    assert ask(told).create_job({"LabelingJobName": "Pets"}) == ARN


def test_an_implausible_team_is_requested_again() -> None:
    team = {
        "WorkteamName": "t",
        "WorkteamArn": "arn:aws:sagemaker:us-east-1:123456789012:workteam/private-crowd/t",
    }
    damaged = [{"Workteams": [team | {"WorkteamName": "u"}]}, {"W0rkteams": [team]}]
    told = ScriptedClient(*damaged, {"Workteams": [team]})
    assert [team.name for team in ask(told).list_workteams()] == ["t"]
    assert ask(ScriptedClient({})).list_workteams() == []
