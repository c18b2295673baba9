"""watch: ends of a job, temporary failures, Ctrl-C."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from fault_proxy import THROTTLED, FaultProxy, Request
from polling import pause

from gtseg.aws.clients import Clients
from gtseg.aws.groundtruth import GroundTruth
from gtseg.errors import AWSError, Interrupted, JobFailed, StageError, WaitTimeout
from gtseg.pipeline.run import LabelingJobSection, Run
from gtseg.pipeline.stages.order import exit_code
from gtseg.pipeline.stages.watch import watch

ARN = "arn:aws:sagemaker:us-east-1:123456789012:labeling-job/cats-label-1"
JOB = LabelingJobSection(
    name="cats-label-1", arn=ARN, label_attribute="cats-label-1-ref", workforce="private", objects=10
)


def description(status: str, labeled: int = 0, failed: int = 0, reason: str = "") -> tuple[int, bytes]:
    """Return DescribeLabelingJob's response for a job of ten objects."""
    now = time.time()
    answer = {
        "LabelingJobStatus": status, "LabelingJobName": JOB.name, "LabelingJobArn": ARN,
        "LabelAttributeName": "other-ref",
        "LabelCounters": {"TotalLabeled": labeled, "HumanLabeled": labeled, "MachineLabeled": 0,
        "FailedNonRetryableError": failed,
                          "Unlabeled": 10 - labeled - failed},
        "CreationTime": now, "LastModifiedTime": now, "JobReferenceCode": "x", "FailureReason": reason, "RoleArn": "r",
        "InputConfig": {"DataSource": {"S3DataSource": {"ManifestS3Uri": "s3://b/m"}}},
        "OutputConfig": {"S3OutputPath": "s3://b/o/"},
        "LabelingJobOutput": {"OutputDatasetS3Uri": "s3://b/o/output.manifest"}, "HumanTaskConfig": {},
    }  # fmt: skip
    return 200, json.dumps(answer).encode()


class Watched:
    """Run whose job has scripted descriptions (the last one repeats), without real waiting."""

    def __init__(self, project: Any, server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        self.script: list[tuple[int, bytes]] = []
        self.slept: list[float] = []
        self.proxy = FaultProxy(server.url, before=self.answer)
        self.project, self.monkeypatch = project, monkeypatch
        project.clients.s3.create_bucket(Bucket=f"test-{project.name}")

    def answer(self, request: Request) -> tuple[int, bytes] | None:
        if request.name != "DescribeLabelingJob":
            return None
        return self.script.pop(0) if len(self.script) > 1 else self.script[0]

    def watch(self, *script: tuple[int, bytes], **options: Any) -> Run:
        self.script = list(script)
        project = self.project
        run = project.run_file.save(project.run.update(labeling_job=JOB))
        self.monkeypatch.setenv("AWS_ENDPOINT_URL", self.proxy.url)
        self.monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
        sleep = options.pop("sleep", self.slept.append)
        return watch(run, project.context(clients=Clients(), sleep=sleep), **options)


@pytest.fixture
def watched(project: Any, shared_aws: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    scene = Watched(project, shared_aws, monkeypatch)
    with scene.proxy:
        yield scene


def test_watch_follows_a_job_to_its_end_and_records_awss_description(watched: Watched) -> None:
    run = watched.watch(description("Initializing"), description("InProgress", 4), description("Completed", 10))
    job = run.labeling_job
    assert job is not None
    assert (job.status, job.counters["TotalLabeled"], job.output_manifest) == (
        "Completed",
        10,
        "s3://b/o/output.manifest",
    )
    assert job.label_attribute == "other-ref"
    assert exit_code(run, "watch") == 0
    progress = [event for event in watched.project.events if event.kind == "progress"]
    assert [(e.done, e.total) for e in progress] == [(0, 10), (4, 10), (10, 10)]
    assert progress[1].fields == {
        "job": JOB.name,
        "status": "InProgress",
        "labeled": 4,
        "failed": 0,
        "remaining": 6,
    }


def test_a_completed_job_with_failed_objects_is_exit_code_5(watched: Watched) -> None:
    run = watched.watch(description("Completed", 7, 3))
    assert exit_code(run, "watch") == 5
    assert "complete with labeling errors: 7 images labeled, 3 failed" in watched.project.messages("finished")


def test_a_failed_job_is_recorded_with_awss_reason(watched: Watched) -> None:
    with pytest.raises(JobFailed, match=r"failed: ClientError: no such role.*gtseg label"):
        watched.watch(description("Failed", 1, reason="ClientError: no such role"))
    assert watched.project.run.labeling_job.status == "Failed"


def test_the_message_for_a_stopped_job_says_how_to_use_its_labels(watched: Watched) -> None:
    with pytest.raises(JobFailed, match=r"was stopped: 4 of 10 .*gtseg dataset --job cats-label-1"):
        watched.watch(description("Stopping", 4), description("Stopped", 4))


def test_throttling_and_server_errors_do_not_end_the_watch(watched: Watched) -> None:
    fault = (500, b'{"__type":"InternalFailure","message":"oops"}')
    run = watched.watch(description("InProgress", 1), *[THROTTLED] * 4, fault, description("Completed", 10))
    assert run.labeling_job is not None
    assert run.labeling_job.status == "Completed"
    assert len(watched.slept) >= 6


def test_a_permanent_error_ends_the_watch(watched: Watched) -> None:
    denied = (400, b'{"__type":"AccessDeniedException","message":"not you"}')
    with pytest.raises(AWSError, match="not you") as caught:
        watched.watch(denied)
    assert caught.value.exit_code == 4


def test_a_watch_times_out_with_the_command_that_resumes_it(watched: Watched) -> None:
    with pytest.raises(WaitTimeout, match="gtseg watch"):
        watched.watch(description("InProgress", 1), patience=600)
    assert 500 < sum(watched.slept) <= 600


def test_ctrl_c_does_not_stop_the_job_and_shows_the_command_that_resumes_it(watched: Watched) -> None:
    def interrupt(seconds: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(Interrupted, match="return to it with `gtseg watch`") as caught:
        watched.watch(description("InProgress", 1), sleep=interrupt)
    assert caught.value.exit_code == 130
    assert not any(r.name == "StopLabelingJob" for r in watched.proxy.seen)


def test_the_message_for_a_server_that_ends_with_the_command_says_that_the_job_pauses(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(seconds: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setenv("GTSEG_LOCAL_EXEC", watched.proxy.url)
    with pytest.raises(Interrupted, match="continues with `gtseg local exec -- gtseg watch`") as caught:
        watched.watch(description("InProgress", 1), sleep=interrupt)
    assert "on its own" not in str(caught.value)
    monkeypatch.setenv("GTSEG_LOCAL_EXEC", "http://127.0.0.1:9")  # another server's end is not this one's
    with pytest.raises(Interrupted, match="continues on its own"):
        watched.watch(description("InProgress", 1), sleep=interrupt)


def test_watch_before_label_is_an_error(project: Any) -> None:
    with pytest.raises(StageError, match="gtseg label"):
        watch(project.run, project.context())


def test_a_job_stopped_on_a_real_server_is_recognized(project: Any) -> None:
    project.image("a.jpg")
    run = project.label()
    GroundTruth(project.clients).stop_job(run.labeling_job.name)
    with pytest.raises(JobFailed, match="was stopped: 0 of 1"):
        watch(run, project.context(sleep=pause))
