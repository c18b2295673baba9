"""Endpoints of the embedded AWS: a real server, boto3, the AWS CLI, SageMaker's typed resources, real containers."""

from __future__ import annotations

import contextlib
import errno
import io
import json
import os
import signal
import sqlite3
import struct
import subprocess
import sys
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from drawn_channels import IMAGE, ROLE, draw_scene, train_artifact, training_request, upload_channels
from PIL import Image
from polling import wait_for

from gtseg.local.hosting import supervisor

ARTIFACT = "s3://drawn/model.tar.gz"
TENSORFLOW = "763104351884.dkr.ecr.us-east-1.amazonaws.com/tensorflow-inference:2.12-cpu"


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    from local_aws import LocalAWS

    server = LocalAWS(tmp_path_factory.mktemp("hosting") / "aws")
    upload_channels(server, "drawn")
    server.client("s3").put_object(Bucket="drawn", Key="model.tar.gz", Body=train_artifact())
    yield server
    server.stop()


def create_endpoint(aws: Any, name: str, *, artifact: str = ARTIFACT, image: str = IMAGE) -> None:
    """Model, config and endpoint of one name."""
    sagemaker = aws.client("sagemaker")
    container = {"Image": image, "ModelDataUrl": artifact}
    sagemaker.create_model(ModelName=name, ExecutionRoleArn=ROLE, PrimaryContainer=container)
    variant = {"VariantName": "AllTraffic", "ModelName": name, "InstanceType": "ml.c5.xlarge"}
    variant["InitialInstanceCount"] = 1
    sagemaker.create_endpoint_config(EndpointConfigName=name, ProductionVariants=[variant])
    sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=name)


def make_runtime(aws: Any) -> Any:
    return aws.client("sagemaker-runtime", config=Config(retries={"max_attempts": 1}))


def invoke(aws: Any, name: str, *, runtime: Any = None, **arguments: Any) -> Any:
    settings = {"Body": draw_scene(7)[0], "ContentType": "image/jpeg", "Accept": "image/png", **arguments}
    return (runtime or make_runtime(aws)).invoke_endpoint(EndpointName=name, **settings)


def read_mask(answer: Any) -> np.ndarray:
    return np.array(Image.open(io.BytesIO(answer["Body"].read())))


def await_status(aws: Any, name: str, *statuses: str) -> dict[str, Any]:
    def look() -> Any:
        answer = aws.client("sagemaker").describe_endpoint(EndpointName=name)
        return answer if answer["EndpointStatus"] in statuses else None

    return wait_for(look)


def list_containers(aws: Any) -> list[int]:
    found = subprocess.run(["ps", "-ww", "-eo", "pid=,args="], capture_output=True, text=True, check=True).stdout
    mine = [line.split(None, 1) for line in found.splitlines() if str(aws.folder) in line]
    return [int(pid) for pid, args in mine if "algorithm serve" in args and "/bin/sh" not in args]


def pack(files: dict[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return packed.getvalue()


def test_an_endpoint_serves_masks_of_the_images_size_until_it_is_deleted(aws: Any) -> None:
    sagemaker, runtime = (
        aws.client("sagemaker"),
        make_runtime(aws),
    )  # making one may take as long as a container
    create_endpoint(aws, "whole")
    with pytest.raises(ClientError, match=r"ValidationException.*Cannot update in-progress endpoint"):
        sagemaker.delete_endpoint(EndpointName="whole")
    with pytest.raises(ClientError, match=r"ValidationError.*Endpoint whole of account"):
        invoke(aws, "whole", runtime=runtime)
    sagemaker.get_waiter("endpoint_in_service").wait(EndpointName="whole", WaiterConfig={"Delay": 1})
    answer = invoke(aws, "whole", Body=draw_scene(7, size=61)[0])
    mask = read_mask(answer)
    assert answer["ContentType"] == "image/png"
    assert answer["InvokedProductionVariant"] == "AllTraffic"
    assert mask.shape == (61, 61)
    assert set(np.unique(mask)) <= {0, 1}
    with pytest.raises(ClientError, match=r"ValidationException.*Cannot create already existing endpoint"):
        sagemaker.create_endpoint(EndpointName="whole", EndpointConfigName="whole")
    sagemaker.delete_endpoint(EndpointName="whole")
    sagemaker.get_waiter("endpoint_deleted").wait(EndpointName="whole", WaiterConfig={"Delay": 1})
    with pytest.raises(ClientError, match=r'ValidationException.*Could not find endpoint "arn:aws:sagemaker'):
        sagemaker.describe_endpoint(EndpointName="whole")
    assert list_containers(aws) == []
    sagemaker.delete_endpoint_config(EndpointConfigName="whole")
    sagemaker.delete_model(ModelName="whole")


def test_an_error_of_the_container_is_a_model_error_with_its_status(aws: Any) -> None:
    create_endpoint(aws, "faulty")
    await_status(aws, "faulty", "InService")
    with pytest.raises(ClientError) as caught:
        invoke(aws, "faulty", ContentType="text/csv")
    assert caught.value.response["Error"]["Code"] == "ModelError"
    assert caught.value.response["OriginalStatusCode"] == 415
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 424
    with pytest.raises(ClientError, match=r"ModelError.*Received client error \(400\)"):
        invoke(aws, "faulty", Body=b"no image")
    with pytest.raises(ClientError, match=r"ValidationError.*less than or equal to 6291456"):
        invoke(aws, "faulty", Body=bytes(6_291_457))
    with pytest.raises(ClientError, match=r"ValidationError.*Variant Other not found"):
        invoke(aws, "faulty", TargetVariant="Other")
    protobuf = invoke(aws, "faulty", Accept="application/x-protobuf")["Body"].read()
    assert struct.unpack("<I", protobuf[:4]) == (0xCED7230A,)

    (process,) = list_containers(aws)
    os.kill(process, signal.SIGKILL)
    wait_for(lambda: list_containers(aws) not in ([], [process]))
    assert read_mask(invoke(aws, "faulty")).shape == (48, 48), "a crashed container is replaced"

    other = pack({"nothing.txt": b"nothing"})
    aws.client("s3").put_object(Bucket="drawn", Key="other.tar.gz", Body=other)
    sagemaker = aws.client("sagemaker")
    container = {"Image": IMAGE, "ModelDataUrl": "s3://drawn/other.tar.gz"}
    sagemaker.create_model(ModelName="other", ExecutionRoleArn=ROLE, PrimaryContainer=container)
    variant = {"VariantName": "AllTraffic", "ModelName": "other", "InstanceType": "ml.c5.xlarge"}
    variant["InitialInstanceCount"] = 1
    sagemaker.create_endpoint_config(EndpointConfigName="other", ProductionVariants=[variant])
    sagemaker.update_endpoint(EndpointName="faulty", EndpointConfigName="other")
    answer = await_status(aws, "faulty", "InService")
    assert "nothing.txt" in answer["FailureReason"]
    assert answer["EndpointConfigName"] == "faulty", "a failed update leaves what served before"
    assert read_mask(invoke(aws, "faulty")).shape == (48, 48)
    variant["ModelName"], variant["VariantName"] = "faulty", "Blue"
    sagemaker.create_endpoint_config(EndpointConfigName="blue", ProductionVariants=[variant])
    sagemaker.update_endpoint(EndpointName="faulty", EndpointConfigName="blue")
    assert await_status(aws, "faulty", "InService")["EndpointConfigName"] == "blue"
    assert invoke(aws, "faulty")["InvokedProductionVariant"] == "Blue"
    sagemaker.delete_endpoint(EndpointName="faulty")


def write_mxnet(names: list[str]) -> bytes:
    """Write MXNet's NDArray list format with one float32 of shape (1,) for each name."""
    arrays = b"".join(struct.pack("<IiIqiiif", 0xF993FAC9, 0, 1, 1, 1, 0, 0, 0.5) for _ in names)
    listed = b"".join(struct.pack("<Q", len(name)) + name.encode() for name in names)
    return struct.pack("<QQQ", 0x112, 0, len(names)) + arrays + struct.pack("<Q", len(names)) + listed


@pytest.mark.parametrize(
    ("files", "image", "named"),
    [
        ({"1/saved_model.pb": b"x", "1/variables/variables.index": b"y"}, TENSORFLOW, "1/saved_model.pb"),
        (
            {
                "hyperparams.json": b"{}",
                "model_best.params": write_mxnet(["head.weight"]),
                "model_algo-1": b"",
            },
            IMAGE,
            "head.weight",
        ),
        (None, IMAGE, "valid tar.gz archive"),
    ],
)
def test_an_unsupported_model_fails_its_endpoint_with_its_name(
    aws: Any, files: dict[str, bytes] | None, image: str, named: str
) -> None:
    name = "foreign-" + "".join(filter(str.isalpha, named))[:8]
    body = pack(files) if files else b"not an archive"
    aws.client("s3").put_object(Bucket="drawn", Key=f"{name}.tar.gz", Body=body)
    create_endpoint(aws, name, artifact=f"s3://drawn/{name}.tar.gz", image=image)
    answer = await_status(aws, name, "Failed", "InService")
    assert answer["EndpointStatus"] == "Failed"
    assert named in answer["FailureReason"]
    aws.client("sagemaker").delete_endpoint(EndpointName=name)


def test_missing_resources_are_refused_with_their_names(aws: Any) -> None:
    sagemaker = aws.client("sagemaker")
    with pytest.raises(ClientError, match=r"Could not find model data at s3://drawn/nowhere\.tar\.gz"):
        create_endpoint(aws, "nowhere", artifact="s3://drawn/nowhere.tar.gz")
    with pytest.raises(ClientError, match=r'Could not find endpoint configuration "arn:aws:sagemaker'):
        sagemaker.create_endpoint(EndpointName="nowhere", EndpointConfigName="nowhere")
    variant = {
        "VariantName": "A",
        "ModelName": "nowhere",
        "InstanceType": "ml.c5.xlarge",
        "InitialInstanceCount": 1,
    }
    with pytest.raises(ClientError, match=r'Could not find model "arn:aws:sagemaker'):
        sagemaker.create_endpoint_config(EndpointConfigName="nowhere", ProductionVariants=[variant])
    with pytest.raises(ClientError, match=r"ValidationError.*Endpoint nowhere of account 123456789012 not found"):
        invoke(aws, "nowhere")


TYPED = """
import json, logging, sys
logging.basicConfig(level=logging.INFO, stream=sys.stdout, format="%(message)s")
from sagemaker.core.shapes import *
from sagemaker.core.resources import Endpoint, EndpointConfig, Model, TrainingJob
given = json.loads(sys.argv[1])
job = TrainingJob.create(
    training_job_name=given["TrainingJobName"], role_arn=given["RoleArn"], hyper_parameters=given["HyperParameters"],
    algorithm_specification=AlgorithmSpecification(
        training_image=given["AlgorithmSpecification"]["TrainingImage"], training_input_mode="File"),
    input_data_config=[
        Channel(channel_name=one["ChannelName"], data_source=DataSource(s3_data_source=S3DataSource(
            s3_data_type="S3Prefix", s3_uri=one["DataSource"]["S3DataSource"]["S3Uri"])))
        for one in given["InputDataConfig"]],
    output_data_config=OutputDataConfig(s3_output_path=given["OutputDataConfig"]["S3OutputPath"]),
    resource_config=ResourceConfig(instance_type="ml.g4dn.xlarge", instance_count=1, volume_size_in_gb=10),
    stopping_condition=StoppingCondition(max_runtime_in_seconds=3600),
)
job.wait(poll=1, logs=True)
model = Model.create(model_name="typed", execution_role_arn=given["RoleArn"], primary_container=ContainerDefinition(
    image=given["AlgorithmSpecification"]["TrainingImage"],
    model_data_url=job.model_artifacts.s3_model_artifacts))
config = EndpointConfig.create(endpoint_config_name="typed", production_variants=[ProductionVariant(
    variant_name="AllTraffic", model_name="typed", instance_type="ml.c5.xlarge", initial_instance_count=1)])
endpoint = Endpoint.create(endpoint_name="typed", endpoint_config_name="typed")
endpoint.wait_for_status("InService", poll=1)
answer = endpoint.invoke(body=open(sys.argv[2], "rb").read(), content_type="image/jpeg", accept="image/png")
print("RESULT", job.training_job_status, endpoint.endpoint_status, answer.content_type)
print("LISTED", [one.training_job_name for one in TrainingJob.get_all()], [one.model_name for one in Model.get_all()])
endpoint.delete(); endpoint.wait_for_delete(poll=1); config.delete(); model.delete()
print("DONE")
"""


def test_sagemakers_typed_resources_and_the_aws_cli_work_unmodified(aws: Any, tmp_path: Path) -> None:
    (tmp_path / "image.jpg").write_bytes(draw_scene(7)[0])
    request = json.dumps(training_request("typed", "drawn"))
    command = [sys.executable, "-c", TYPED, request, str(tmp_path / "image.jpg")]
    done = subprocess.run(command, env=aws.environment, capture_output=True, text=True, timeout=200)
    assert "DONE" in done.stdout, done.stdout[-2000:] + done.stderr[-4000:]
    assert "RESULT Completed InService image/png" in done.stdout
    assert "#quality_metric. host: algo-1, epoch: 1, validation mIOU:" in done.stdout, "the log was streamed"
    cli = [sys.executable, "-m", "awscli", "logs", "filter-log-events", "--output", "text"]
    cli += ["--log-group-name", "/aws/sagemaker/TrainingJobs", "--filter-pattern", '"validation mIOU" -loss']
    listed = subprocess.run(cli, env=aws.environment, capture_output=True, text=True, check=True).stdout
    assert listed.count("validation mIOU:") == 2


def test_a_restarted_server_restarts_its_endpoints(start_local_aws: Any) -> None:
    aws = start_local_aws()
    aws.client("s3").create_bucket(Bucket="drawn")
    for key in ("model.tar.gz", "early.tar.gz"):
        aws.client("s3").put_object(Bucket="drawn", Key=key, Body=train_artifact())
    create_endpoint(aws, "kept")
    await_status(aws, "kept", "InService")
    expected = read_mask(invoke(aws, "kept"))
    (before,) = list_containers(aws)
    aws.client("s3").delete_object(Bucket="drawn", Key="model.tar.gz")
    aws.client("sagemaker").delete_model(ModelName="kept")
    create_endpoint(aws, "early", artifact="s3://drawn/early.tar.gz")
    aws.kill9()
    wait_for(lambda: before not in list_containers(aws))
    aws.start()
    assert aws.client("sagemaker").describe_endpoint(EndpointName="kept")["EndpointStatus"] == "InService"
    assert (read_mask(invoke(aws, "kept")) == expected).all()
    await_status(aws, "early", "InService")
    assert (read_mask(invoke(aws, "early")) == expected).all()
    created = [call["name"] for call in aws.calls() if call["operation"] == "CreateEndpoint"]
    assert created == ["kept", "early"]
    assert len(list_containers(aws)) == 2
    aws.stop()
    wait_for(lambda: list_containers(aws) == [])


@pytest.mark.parametrize(
    ("status", "deployed", "error", "tries", "settled"),
    [
        ("Creating", None, [ValueError("odd")], 3, "Failed"),
        ("Creating", None, [ValueError("odd"), KeyError("even"), FileNotFoundError(2, "x")], 3, "Failed"),
        ("Updating", "before", [RecursionError("odd"), ValueError("even")], 3, "InService"),
        (
            "Creating",
            None,
            [OSError(errno.ENOSPC, "full"), sqlite3.OperationalError("locked")],
            7,
            "Creating",
        ),
    ],
)
def test_an_endpoint_fails_after_three_errors_but_not_on_a_full_disk(
    status: str,
    deployed: Any,
    error: list[Exception],
    tries: int,
    settled: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setattr(supervisor, "FAILURE_PAUSE", 0.0)
    work = SimpleNamespace(deployed=deployed)
    record = SimpleNamespace(status=status, work=work, answer={})
    records = SimpleNamespace(find=lambda name: record, change=lambda name: contextlib.nullcontext(record))
    store = SimpleNamespace(folder=tmp_path, create=lambda ddl: None)
    embedded = SimpleNamespace(store=store)
    stopping, taken = threading.Event(), []
    keeper = supervisor.EndpointSupervisor(
        SimpleNamespace(embedded=embedded, records=records, containers={}),  # type: ignore[arg-type]
        "e",
        stopping,
    )

    def advance() -> bool:
        taken.append(1)
        if len(taken) == tries:
            stopping.set()
        raise error[len(taken) % len(error)]

    monkeypatch.setattr(keeper, "_advance", advance)
    keeper.run()
    assert (record.status, len(taken)) == (settled, tries)
    assert settled == "Creating" or "3 times in a row" in record.answer["FailureReason"]
