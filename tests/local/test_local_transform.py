"""Batch transform of the embedded AWS, through a real server and a real container."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from botocore.exceptions import ClientError
from drawn_channels import IMAGE, ROLE, draw_scene, train_artifact
from PIL import Image
from polling import wait_for


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    from local_aws import LocalAWS

    server = LocalAWS(tmp_path_factory.mktemp("transform") / "aws")
    s3 = server.client("s3")
    s3.create_bucket(Bucket="drawn")
    s3.put_object(Bucket="drawn", Key="model.tar.gz", Body=train_artifact())
    for number in (1, 2):
        s3.put_object(Bucket="drawn", Key=f"in/day/{number}.jpg", Body=draw_scene(number, size=40 + number)[0])
    server.client("sagemaker").create_model(
        ModelName="discs",
        ExecutionRoleArn=ROLE,
        PrimaryContainer={"Image": IMAGE, "ModelDataUrl": "s3://drawn/model.tar.gz"},
    )
    yield server
    server.stop()


def transform_request(name: str, prefix: str = "in/", **members: Any) -> dict[str, Any]:
    source = {"S3DataType": "S3Prefix", "S3Uri": f"s3://drawn/{prefix}"}
    return {
        "TransformJobName": name,
        "ModelName": "discs",
        "TransformInput": {"DataSource": {"S3DataSource": source}, "ContentType": "image/jpeg"},
        "TransformOutput": {"S3OutputPath": "s3://drawn/out", "Accept": "image/png"},
        "TransformResources": {"InstanceType": "ml.m5.xlarge", "InstanceCount": 1},
        **members,
    }


def await_transform(aws: Any, name: str) -> dict[str, Any]:
    def look() -> Any:
        answer = aws.client("sagemaker").describe_transform_job(TransformJobName=name)
        return answer if answer["TransformJobStatus"] not in ("InProgress", "Stopping") else None

    return wait_for(look)


def test_every_object_gets_its_mask_from_one_of_two_containers(aws: Any) -> None:
    sagemaker = aws.client("sagemaker")
    two = {"InstanceType": "ml.m5.xlarge", "InstanceCount": 2}
    sagemaker.create_transform_job(**transform_request("masks", TransformResources=two))
    waiter = sagemaker.get_waiter("transform_job_completed_or_stopped")
    waiter.wait(TransformJobName="masks", WaiterConfig={"Delay": 1, "MaxAttempts": 90})
    listed = aws.client("s3").list_objects_v2(Bucket="drawn", Prefix="out/")["Contents"]
    assert [item["Key"] for item in listed] == ["out/day/1.jpg.out", "out/day/2.jpg.out"]
    body = aws.client("s3").get_object(Bucket="drawn", Key="out/day/2.jpg.out")["Body"].read()
    assert np.array(Image.open(io.BytesIO(body))).shape == (42, 42)
    streams = aws.client("logs").describe_log_streams(logGroupName="/aws/sagemaker/TransformJobs")["logStreams"]
    assert len({s["logStreamName"] for s in streams if s["logStreamName"].startswith("masks/")}) == 2
    with pytest.raises(ClientError, match="is in status Completed"):
        sagemaker.stop_transform_job(TransformJobName="masks")
    with pytest.raises(sagemaker.exceptions.ResourceInUse):
        sagemaker.create_transform_job(**transform_request("masks"))


def test_one_invalid_input_fails_the_job_and_keeps_the_other_outputs(aws: Any) -> None:
    s3 = aws.client("s3")
    s3.put_object(Bucket="drawn", Key="mixed/1.jpg", Body=draw_scene(1)[0])
    s3.put_object(Bucket="drawn", Key="mixed/2.jpg", Body=b"no image")
    output = {"S3OutputPath": "s3://drawn/mixed-out", "Accept": "image/png"}
    request = transform_request("mixed", "mixed/", TransformOutput=output, MaxConcurrentTransforms=2)
    aws.client("sagemaker").create_transform_job(**request)
    answer = await_transform(aws, "mixed")
    assert (answer["TransformJobStatus"], answer["FailureReason"][:12]) == ("Failed", "ClientError:")
    listed = s3.list_objects_v2(Bucket="drawn", Prefix="mixed-out/")["Contents"]
    assert [item["Key"] for item in listed] == ["mixed-out/1.jpg.out"]
    events = aws.client("logs").filter_log_events(
        logGroupName="/aws/sagemaker/TransformJobs", filterPattern='"mixed/2.jpg"'
    )["events"]
    assert len(events) == 1
    assert events[0]["logStreamName"].endswith("/data-log")


def test_an_empty_prefix_fails_and_a_stopped_job_stops(aws: Any) -> None:
    sagemaker = aws.client("sagemaker")
    sagemaker.create_transform_job(**transform_request("nothing", "nowhere/"))
    sagemaker.create_transform_job(**transform_request("stopped"))
    sagemaker.stop_transform_job(TransformJobName="stopped")
    assert await_transform(aws, "stopped")["TransformJobStatus"] == "Stopped"
    assert "No S3 objects found" in await_transform(aws, "nothing")["FailureReason"]


def test_a_restarted_server_continues_its_transform_job(aws: Any) -> None:
    output = {"S3OutputPath": "s3://drawn/after-kill", "Accept": "image/png"}
    aws.client("sagemaker").create_transform_job(**transform_request("killed", TransformOutput=output))
    aws.kill9()
    aws.start()
    answer = await_transform(aws, "killed")
    assert answer["TransformJobStatus"] == "Completed", answer.get("FailureReason")
    listed = aws.client("s3").list_objects_v2(Bucket="drawn", Prefix="after-kill/")["Contents"]
    assert [item["Key"] for item in listed] == ["after-kill/day/1.jpg.out", "after-kill/day/2.jpg.out"]


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"ModelName": "nobody"}, "Could not find model"),
        ({"MaxPayloadInMB": 60, "MaxConcurrentTransforms": 2}, "must not exceed 100"),
        ({"DataCaptureConfig": {"DestinationS3Uri": "s3://drawn/x"}}, "DataCaptureConfig is not supported"),
        (
            {"TransformResources": {"InstanceType": "ml.m5.xlarge", "InstanceCount": 17}},
            "InstanceCount must be 1 to 16",
        ),
    ],
)
def test_invalid_transform_requests_are_refused(aws: Any, members: dict[str, Any], message: str) -> None:
    with pytest.raises(ClientError, match="ValidationException") as caught:
        aws.client("sagemaker").create_transform_job(**transform_request("refused", **members))
    assert message in str(caught.value)
