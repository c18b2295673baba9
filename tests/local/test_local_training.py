"""Training jobs of the embedded AWS: a real server, real clients, the algorithm on tiny drawn data."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from drawn_channels import IMAGE, await_job, channel, training_request, upload_channels
from polling import wait_for

LOG_GROUP = "/aws/sagemaker/TrainingJobs"


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    from local_aws import LocalAWS

    server = LocalAWS(tmp_path_factory.mktemp("training") / "aws")
    upload_channels(server, "drawn")
    yield server
    server.stop()


def read_log(aws: Any, job: str) -> list[str]:
    logs = aws.client("logs")
    streams = logs.describe_log_streams(logGroupName=LOG_GROUP, logStreamNamePrefix=f"{job}/")["logStreams"]
    assert len(streams) == 1
    pages: list[str] = []
    name, token = streams[0]["logStreamName"], {}
    while True:
        page = logs.get_log_events(logGroupName=LOG_GROUP, logStreamName=name, startFromHead=True, **token)
        if not page["events"]:
            return pages
        pages += [event["message"] for event in page["events"]]
        token = {"nextToken": page["nextForwardToken"]}


def list_processes(folder: Path) -> list[int]:
    """Process ids of the algorithm below a data folder."""
    found = subprocess.run(["ps", "-ww", "-eo", "pid=,args="], capture_output=True, text=True, check=True).stdout
    mine = [line.split(None, 1) for line in found.splitlines() if str(folder) in line]
    return [int(pid) for pid, args in mine if "gtseg.local.algorithm train" in args and "/bin/sh" not in args]


def await_epoch(aws: Any, job: str, *, after: Any = None) -> Any:
    """Wait for a validation metric later than `after`; return its time."""

    def look() -> Any:
        answer = aws.client("sagemaker").describe_training_job(TrainingJobName=job)
        times = {item["MetricName"]: item["Timestamp"] for item in answer.get("FinalMetricDataList", [])}
        assert answer["TrainingJobStatus"] == "InProgress", answer
        return times["validation:mIOU"] if times.get("validation:mIOU") not in (None, after) else None

    return wait_for(look)


def test_a_job_passes_sagemakers_states_and_ends_with_model_and_metrics(aws: Any) -> None:
    sagemaker = aws.client("sagemaker")
    sagemaker.create_training_job(**training_request("whole", "drawn"))
    waiter = sagemaker.get_waiter("training_job_completed_or_stopped")
    waiter.wait(TrainingJobName="whole", WaiterConfig={"Delay": 1, "MaxAttempts": 120})
    answer = sagemaker.describe_training_job(TrainingJobName="whole")
    statuses = [item["Status"] for item in answer["SecondaryStatusTransitions"]]
    assert statuses == ["Starting", "Downloading", "Training", "Uploading", "Completed"]
    body = aws.client("s3").get_object(Bucket="drawn", Key="out/whole/output/model.tar.gz")["Body"].read()
    with tarfile.open(fileobj=io.BytesIO(body)) as archive:
        assert sorted(archive.getnames()) == ["hyperparams.json", "model_algo-1", "model_best.params"]
    lines = read_log(aws, "whole")
    last = [line for line in lines if "validation mIOU:" in line][-1]
    final = {item["MetricName"]: item["Value"] for item in answer["FinalMetricDataList"]}
    assert f"{final['validation:mIOU']} ." in last
    assert set(final) == {item["Name"] for item in answer["AlgorithmSpecification"]["MetricDefinitions"]}
    assert any("Serializing model to /opt/ml/model/model_best.params" in line for line in lines)
    assert answer["BillableTimeInSeconds"] == answer["TrainingTimeInSeconds"] > 0


def test_an_invalid_hyperparameter_fails_the_job_with_the_algorithms_reason(aws: Any) -> None:
    sagemaker = aws.client("sagemaker")
    request = training_request("typo", "drawn", learning_rat="0.1")
    sagemaker.create_training_job(**request, Tags=[{"Key": "gtseg:run", "Value": "turtles"}])
    answer = await_job(sagemaker, "typo")
    assert answer["TrainingJobStatus"] == answer["SecondaryStatus"] == "Failed"
    assert answer["FailureReason"].startswith("ClientError: ")
    assert "learning_rat" in answer["FailureReason"]
    tags = sagemaker.list_tags(ResourceArn=answer["TrainingJobArn"])["Tags"]
    assert tags == [{"Key": "gtseg:run", "Value": "turtles"}]
    with pytest.raises(sagemaker.exceptions.ResourceInUse, match="must be unique"):
        sagemaker.create_training_job(**request)
    with pytest.raises(ClientError, match=r"ValidationException.*is in status Failed"):
        sagemaker.stop_training_job(TrainingJobName="typo")
    with pytest.raises(ClientError, match=r"ValidationException.*Requested resource not found"):
        sagemaker.describe_training_job(TrainingJobName="never")


def test_a_prefix_without_objects_fails_the_job_and_names_it(aws: Any) -> None:
    sagemaker = aws.client("sagemaker")
    request = training_request("empty", "drawn")
    request["InputDataConfig"][0] = channel("drawn", "tran")
    sagemaker.create_training_job(**request)
    reason = await_job(sagemaker, "empty")["FailureReason"]
    assert 'No S3 objects found under S3 URL "s3://drawn/data/tran/"' in reason
    assert reason.startswith("ClientError: Data download failed:")
    sagemaker.delete_training_job(TrainingJobName="empty")
    with pytest.raises(ClientError, match="Requested resource not found"):
        sagemaker.describe_training_job(TrainingJobName="empty")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"AlgorithmSpecification": {"TrainingImage": "1.dkr.ecr.us-east-1.amazonaws.com/xgboost:1"}}, IMAGE),
        ({"ResourceConfig": {"InstanceCount": 2}}, "InstanceCount must be 1"),
        ({"ResourceConfig": {"InstanceType": "ml.huge"}}, "enum value set"),
        ({"RoleArn": "somebody-with-a-long-name"}, "regular expression pattern"),
        ({"EnableManagedSpotTraining": True}, "Invalid MaxWaitTimeInSeconds"),
        ({"OutputDataConfig": {"S3OutputPath": "https://example.org/x"}}, "OutputDataConfig.S3OutputPath"),
        ({"ExperimentConfig": {"TrialName": "one"}}, "ExperimentConfig is not supported"),
    ],
)
def test_invalid_requests_are_refused_and_create_no_job(aws: Any, change: dict[str, Any], message: str) -> None:
    sagemaker = aws.client("sagemaker")
    request = training_request("refused", "drawn")
    for member, value in change.items():
        request[member] = {**request.get(member, {}), **value} if isinstance(value, dict) else value
    with pytest.raises(ClientError, match="ValidationException") as caught:
        sagemaker.create_training_job(**request)
    assert message in str(caught.value)


def test_an_augmented_manifest_requires_pipe_mode_and_is_trained_from_its_pairs(aws: Any) -> None:
    sagemaker, s3 = aws.client("sagemaker"), aws.client("s3")
    request = training_request("manifest", "drawn", epochs="1")
    channels = []
    for name, numbers in (("train", range(6)), ("validation", range(100, 103))):
        lines = [
            {
                "source-ref": f"s3://drawn/data/{name}/{n}.jpg",
                "x-ref": f"s3://drawn/data/{name}_annotation/{n}.png",
            }
            for n in numbers
        ]
        s3.put_object(Bucket="drawn", Key=f"{name}.manifest", Body="\n".join(map(json.dumps, lines)).encode())
        source = {
            "S3DataType": "AugmentedManifestFile",
            "S3Uri": f"s3://drawn/{name}.manifest",
            "AttributeNames": ["source-ref", "x-ref"],
        }
        channels.append(
            {
                "ChannelName": name,
                "DataSource": {"S3DataSource": source},
                "ContentType": "application/x-recordio",
                "RecordWrapperType": "RecordIO",
                "InputMode": "Pipe",
            }
        )
    request["InputDataConfig"] = channels
    sagemaker.create_training_job(**request)
    in_file_mode = [{**one, "InputMode": "File"} for one in channels]
    with pytest.raises(ClientError, match="requires the Pipe input mode"):
        sagemaker.create_training_job(**{**request, "TrainingJobName": "file", "InputDataConfig": in_file_mode})
    answer = await_job(sagemaker, "manifest")
    assert answer["TrainingJobStatus"] == "Completed", answer.get("FailureReason")


def test_a_queued_job_waits_its_turn_and_a_stopped_one_keeps_its_model(aws: Any) -> None:
    sagemaker = aws.client("sagemaker")
    request = training_request("long", "drawn", epochs="5000")
    request["CheckpointConfig"] = {"S3Uri": "s3://drawn/checkpoints"}
    sagemaker.create_training_job(**request)
    sagemaker.create_training_job(**training_request("behind", "drawn"))
    await_epoch(aws, "long")
    waiting = sagemaker.describe_training_job(TrainingJobName="behind")
    assert waiting["SecondaryStatus"] == "Pending"
    sagemaker.stop_training_job(TrainingJobName="behind")
    assert await_job(sagemaker, "behind")["TrainingJobStatus"] == "Stopped"
    sagemaker.stop_training_job(TrainingJobName="long")
    answer = await_job(sagemaker, "long")
    statuses = [item["Status"] for item in answer["SecondaryStatusTransitions"]]
    assert statuses[-3:] == ["Stopping", "Uploading", "Stopped"]
    assert answer["TrainingJobStatus"] == "Stopped"
    assert aws.client("s3").head_object(Bucket="drawn", Key="out/long/output/model.tar.gz")["ContentLength"]
    assert aws.client("s3").list_objects_v2(Bucket="drawn", Prefix="checkpoints/")["KeyCount"] > 0


def test_a_job_ends_at_its_time_limit(aws: Any) -> None:
    sagemaker = aws.client("sagemaker")
    request = training_request("limit", "drawn", epochs="5000")
    request["StoppingCondition"] = {"MaxRuntimeInSeconds": 1}
    sagemaker.create_training_job(**request)
    answer = await_job(sagemaker, "limit")
    assert (answer["TrainingJobStatus"], answer["SecondaryStatus"]) == ("Stopped", "MaxRuntimeExceeded")


def test_a_servers_time_budget_ends_a_job_with_a_model(start_local_aws: Any) -> None:
    aws = start_local_aws(options={"train_seconds": 2})
    upload_channels(aws, "drawn")
    aws.client("sagemaker").create_training_job(**training_request("short", "drawn", epochs="100000"))
    answer = await_job(aws.client("sagemaker"), "short")
    assert answer["TrainingJobStatus"] == "Completed", answer.get("FailureReason")


def count_lines(aws: Any, job: str, text: str) -> int:
    return len([line for line in read_log(aws, job) if text in line])


def test_a_restarted_server_continues_a_running_job_or_its_checkpoint(start_local_aws: Any) -> None:
    aws = start_local_aws()
    upload_channels(aws, "drawn")
    aws.client("sagemaker").create_training_job(**training_request("kept", "drawn", epochs="5000"))
    seen = await_epoch(aws, "kept")

    before = list_processes(aws.folder)
    assert len(before) == 1
    aws.kill9()
    aws.start()
    seen = await_epoch(aws, "kept", after=seen)
    assert list_processes(aws.folder) == before, "the same process continues and there is no second one"

    aws.kill9()
    os.killpg(os.getpgid(before[0]), signal.SIGKILL)
    wait_for(lambda: not list_processes(aws.folder))
    aws.start()
    seen = await_epoch(aws, "kept", after=seen)

    aws.stop()
    assert list_processes(aws.folder) == [], "a server that ends takes its jobs' processes with it"
    aws.start()
    seen = await_epoch(aws, "kept", after=seen)
    await_epoch(aws, "kept", after=seen)
    assert count_lines(aws, "kept", "Docker entrypoint") == 3
    assert count_lines(aws, "kept", "epoch: 0, train loss") == 1, "it went on from where it was"

    aws.client("sagemaker").stop_training_job(TrainingJobName="kept")
    assert await_job(aws.client("sagemaker"), "kept")["TrainingJobStatus"] == "Stopped"
    assert [call["name"] for call in aws.calls() if call["operation"] == "CreateTrainingJob"] == ["kept"]


def test_the_aws_cli_describes_and_lists_jobs(aws: Any) -> None:
    command = [sys.executable, "-m", "awscli", "sagemaker", "list-training-jobs", "--name-contains", "typo"]
    command += ["--status-equals", "Failed", "--output", "json"]
    listed = subprocess.run(command, env=aws.environment, capture_output=True, text=True, check=True)
    summaries = json.loads(listed.stdout)["TrainingJobSummaries"]
    assert [summary["TrainingJobName"] for summary in summaries] == ["typo"]
    pages = aws.client("sagemaker").get_paginator("list_training_jobs").paginate(PaginationConfig={"PageSize": 2})
    names = [summary["TrainingJobName"] for page in pages for summary in page["TrainingJobSummaries"]]
    assert len(names) == len(set(names)) >= 6
    assert names[0] == "whole"


def test_the_table_of_container_images_equals_the_sdks() -> None:
    from importlib.metadata import distribution

    from gtseg.local.jobs.container_images import REGISTRIES, image_uri, is_segmentation_image

    table = distribution("sagemaker-core").locate_file("sagemaker/core/image_uri_config/semantic-segmentation.json")
    assert json.loads(Path(str(table)).read_text())["versions"]["1"]["registries"] == REGISTRIES
    assert image_uri("cn-north-1") == "390948362332.dkr.ecr.cn-north-1.amazonaws.com.cn/semantic-segmentation:1"
    assert is_segmentation_image(IMAGE, "us-east-1")
    assert not is_segmentation_image(IMAGE, "us-west-2"), "an image of another region"
    assert not is_segmentation_image(IMAGE.replace(":1", ":2"), "us-east-1")
    assert not is_segmentation_image(IMAGE, "mx-central-1")
