"""Unexpected responses of AWS: no paid work is lost, errors have a remedy, a repeated command continues."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from local_aws import LocalAWS
from trained import Trained

from gtseg.aws.clients import Clients
from gtseg.aws.encryption import Encryption
from gtseg.aws.s3 import S3, Bulk
from gtseg.errors import AWSError, StageError
from gtseg.pipeline.commands.doctor import examine
from gtseg.pipeline.run import locate
from gtseg.pipeline.stages.cleanup import cleanup
from gtseg.pipeline.stages.deploy import deploy
from gtseg.pipeline.stages.evaluate import evaluate
from gtseg.pipeline.stages.label import label
from gtseg.pipeline.stages.order import exit_code, refresh, run_stages
from gtseg.pipeline.stages.train import train, tune

Play = Callable[..., None]
DENIED = {
    "kind": "answer",
    "status": 403,
    "code": "AccessDenied",
    "message": "explicit deny in a resource-based policy",
}
HEADER = "x-amz-server-side-encryption"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAWS]:
    """Server with the faults of faults.json beside its data folder."""
    folder = tmp_path_factory.mktemp("answers")
    (folder / "faults.json").write_text("{}")
    started = LocalAWS(folder / "aws", options={"train_seconds": 3, "faults": str(folder / "faults.json")})
    yield started
    started.stop()


@pytest.fixture
def play(server: LocalAWS) -> Iterator[Play]:
    """Return a function that sets the server's faults; they are removed after the test."""
    path = server.folder.parent / "faults.json"
    yield lambda *faults: path.write_text(json.dumps({"fault": faults}))
    path.write_text("{}")


@pytest.fixture
def environment(server: LocalAWS, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    for name, value in server.environment.items():
        if name.startswith("AWS_"):
            monkeypatch.setenv(name, value)


@pytest.fixture
def project(environment: None, tmp_path: Path, request: pytest.FixtureRequest) -> Trained:
    made = Trained(tmp_path, Clients(), f"a{abs(hash(request.node.name)) % 10**8}")
    made.tables = {
        "train.hyperparameters": "epochs = 2\nmini_batch_size = 2\ncrop_size = 48\nbase_size = 48",
        "tune": "max_jobs = 1\nlearning_rate = [0.001, 0.01]",
        "predict": "concurrency = 1",
    }
    made.give_dataset()
    return made


def created(server: LocalAWS, name: str) -> list[str]:
    """Return the jobs and endpoints created for a run."""
    calls = server.calls()
    return [
        c["name"] for c in calls if c["operation"].startswith("Create") and name in c["name"] and c["status"] == 200
    ]


def rewritten(operation: str, status: str, **members: str) -> dict[str, Any]:
    return {
        "kind": "rewrite",
        "operations": [f"sagemaker:{operation}"],
        "when": {status: "Completed"},
        "members": {status: "Stopped", **members},
    }


def test_a_training_job_stopped_at_its_time_limit_is_a_result_and_not_trained_again(
    server: LocalAWS, project: Trained, play: Play
) -> None:
    ended = rewritten("DescribeTrainingJob", "TrainingJobStatus", SecondaryStatus="MaxRuntimeExceeded")
    hidden = {
        "kind": "answer",
        "operations": ["sagemaker:ListTags"],
        "code": "AccessDeniedException",
        "message": "no",
    }
    play(ended, hidden)
    for _ in range(2):
        run = project.run_stage(train)
        assert run.training_job is not None
        assert run.training_job.ending.startswith("ended by [train] max_runtime after ")
        assert exit_code(run, "train") == 5
    assert "`gtseg deploy`" in project.messages("finished")
    assert created(server, f"{project.name}-train") == [f"{project.name}-train-1"]


def test_a_stopped_tuning_job_has_the_best_of_its_training_jobs(project: Trained, play: Play) -> None:
    play(rewritten("DescribeHyperParameterTuningJob", "HyperParameterTuningJobStatus"))
    run = project.run_stage(tune)
    assert run.training_job is not None
    assert run.training_job.name.startswith(f"{project.name}-tune-1-001-")
    assert "(stopped early): best is" in project.messages("finished")


def test_a_run_survives_a_new_role_a_denied_log_a_lost_endpoint_and_a_failing_model(
    server: LocalAWS, project: Trained, play: Play
) -> None:
    unknown = "Could not assume role arn:aws:iam::123456789012:role/gtseg. Please ensure that the role exists."
    play(
        {"kind": "answer", "operations": ["sagemaker:CreateTrainingJob"], "limit": 1, "message": unknown},
        {"kind": "answer", "operations": ["logs:*"], "code": "AccessDeniedException", "message": "no"},
    )
    waited: list[float] = []
    run = project.run_file.save(train(project.run, project.context(sleep=waited.append)))
    assert 5.0 in waited
    assert run.training_job is not None
    assert run.training_job.status == "Completed"
    assert project.messages("warning").count("log cannot be read") == 1

    play()
    project.run_stage(deploy)
    server.client("sagemaker").delete_endpoint(EndpointName=f"{project.name}-endpoint-1")
    with pytest.raises(StageError, match="`gtseg deploy`") as gone:
        project.run_stage(evaluate)
    assert gone.value.exit_code == 3

    play(
        {
            "kind": "answer",
            "operations": ["sagemaker:InvokeEndpoint"],
            "limit": 3,
            "status": 424,
            "code": "ModelError",
            "message": "CUDA out of memory",
        }
    )
    run = run_stages(project.run, project.context())
    assert run.endpoint is not None
    assert run.endpoint.name == f"{project.name}-endpoint-2"
    assert run.evaluation is not None
    assert (len(run.evaluation.missing), run.evaluation.images, exit_code(run, "evaluate")) == (1, 2, 5)
    assert "[deploy] instance_type" in project.messages("warning")
    assert project.run_stage(evaluate).evaluation.missing == ()  # type: ignore[union-attr]
    project.run_stage(cleanup)


def test_refresh_of_a_run_with_deleted_channels_names_the_command_that_makes_them(
    project: Trained,
) -> None:
    s3, run = S3(project.clients), project.run
    assert run.dataset is not None
    seen = refresh(run, project.context())
    assert seen.looked is not None
    assert seen.dataset == run.dataset
    s3.delete([f"s3://bucket-{project.name}/{item.key}" for item in s3.list_objects(run.dataset.channels)])
    with pytest.raises(StageError, match=r"gtseg dataset --manifest s3://images/output.manifest"):
        refresh(run, project.context())


def test_a_deleted_model_is_trained_again_when_needed(project: Trained) -> None:
    run = project.run_stage(train)
    assert run.training_job is not None
    S3(project.clients).delete([str(run.training_job.model_artifact)])
    seen = refresh(run, project.context())
    assert seen.training_job is None
    assert seen.attempts_of("train")[-1].outcome == "failed"


def test_a_wrong_clock_is_exit_code_4(project: Trained, play: Play) -> None:
    late = "Signature expired: 20261129T202900Z is now earlier than 20261129T212900Z (20261129T213400Z - 5 min.)"
    play(
        {
            "kind": "answer",
            "operations": ["sagemaker:*"],
            "code": "InvalidSignatureException",
            "message": late,
        }
    )
    with pytest.raises(AWSError, match="Set this machine's clock") as error:
        project.run_stage(train)
    assert error.value.exit_code == 4
    play({**DENIED, "operations": ["s3:*"], "code": "RequestTimeTooSkewed"})
    with pytest.raises(AWSError, match="Set this machine's clock"):
        _ = project.run


def test_every_command_writes_to_a_bucket_that_requires_an_encryption_header(
    environment: None, play: Play, tmp_path: Path
) -> None:
    (tmp_path / "a.txt").write_text("a")
    S3(Clients()).ensure_bucket("encrypted")
    writes = {"operations": ["s3:PutObject", "s3:CopyObject"], "resources": ["encrypted/*"]}
    play({**DENIED, **writes, "unless": {HEADER: "AES256"}})
    clients = Clients(encryption=Encryption(sse="AES256"))
    s3, uri = S3(clients), "s3://encrypted/k"
    s3.write(uri, b"x")
    s3.copy(uri, f"{uri}2")
    s3.upload_folder(tmp_path, "s3://encrypted/folder/", files=[tmp_path / "a.txt"])
    with Bulk(clients) as bulk:
        bulk.put(uri, b"y", content_type="text/plain")
        bulk.copy(uri, f"{uri}3")
    with pytest.raises(AWSError, match=r"\[project\] sse") as error:
        S3(Clients()).write(uri, b"x")
    assert error.value.exit_code == 4


def test_every_write_names_the_kms_key(environment: None, play: Play) -> None:
    done = {"kind": "answer", "status": 200, "headers": {"etag": '"e"', "x-amz-request-id": "1"}, "body": ""}
    wanted = {HEADER: "aws:kms", f"{HEADER}-aws-kms-key-id": "alias/k"}
    only = {"operations": ["s3:PutObject"], "resources": ["keyed/*"]}
    play({**DENIED, **only, "unless": wanted}, {**done, **only})
    clients = Clients(encryption=Encryption(kms_key="alias/k"))
    assert S3(clients).write("s3://keyed/k", b"x") == "e"
    with Bulk(clients) as bulk:
        assert bulk.put("s3://keyed/k", b"x", content_type="text/plain") == "e"


def test_every_command_reads_a_requester_pays_bucket(environment: None, play: Play) -> None:
    s3, uri = S3(Clients()), "s3://paying/k"
    s3.ensure_bucket("paying")
    s3.write(uri, b"x")
    reads = ["s3:GetObject", "s3:HeadObject", "s3:ListObjectsV2", "s3:CopyObject"]
    play(
        {
            **DENIED,
            "operations": reads,
            "resources": ["paying/*"],
            "unless": {"x-amz-request-payer": "requester"},
        }
    )
    paying = S3(Clients(requester_pays=True))
    assert paying.read(uri)[0] == b"x"
    assert paying.head(uri) is not None
    assert [item.key for item in paying.list_objects("s3://paying/")] == ["k"]
    assert paying.copy(uri, "s3://paying/l")
    with Bulk(Clients(requester_pays=True)) as bulk:
        assert bulk.copy(uri, "s3://paying/m")
    with pytest.raises(AWSError, match=r"\[images\] requester_pays"):
        s3.read(uri)


def elsewhere(bucket: str) -> tuple[dict[str, Any], ...]:
    there = {
        "status": 200,
        "headers": {"x-amz-bucket-region": "eu-west-1"},
        "resources": [f"{bucket}/"],
        "kind": "answer",
    }
    place = '<LocationConstraint xmlns="http://s3.amazonaws.com/doc/2006-03-01/">eu-west-1</LocationConstraint>'
    return (
        {**there, "operations": ["s3:GetBucketLocation"], "body": place, "type": "application/xml"},
        {**there, "operations": ["s3:HeadBucket"]},
    )


def test_images_in_another_region_are_refused_before_anything_is_created(
    server: LocalAWS, project: Trained, play: Play
) -> None:
    S3(project.clients).ensure_bucket("eubucket")
    project.tables |= {"images": 'source = "s3://eubucket/photos/"', "labeling": 'labels = ["x"]'}
    play(*elsewhere("eubucket"))
    with pytest.raises(StageError, match="eu-west-1") as error:
        project.run_stage(label)
    assert error.value.exit_code == 3
    root = locate(project.settings, project.clients)
    found = [(one.subject, one.level) for one in examine(project.context(), root) if "eu-west-1" in one.found]
    assert found == [("images", "bad")]
    play(*elsewhere(f"bucket-{project.name}"))
    with pytest.raises(StageError, match="training job"):
        project.run_stage(train)
    assert created(server, f"{project.name}-") == []


def test_a_buckets_region_is_read_from_the_error_if_access_to_it_is_denied(environment: None, play: Play) -> None:
    S3(Clients()).ensure_bucket("hidden")
    denied = {**DENIED, "resources": ["hidden/"], "headers": {"x-amz-bucket-region": "ap-south-1"}}
    play({**denied, "operations": ["s3:GetBucketLocation", "s3:HeadBucket"]})
    assert S3(Clients()).bucket_region("hidden") == "ap-south-1"


def test_doctor_tests_write_access_and_leaves_no_objects(project: Trained, play: Play) -> None:
    root = locate(project.settings, project.clients)
    keys = [item.key for item in S3(project.clients).list_objects(root)]
    found = {one.subject: one for one in examine(project.context(), root)}
    assert found["writing"].level == "good"
    assert [item.key for item in S3(project.clients).list_objects(root)] == keys
    play({**DENIED, "operations": ["s3:PutObject"], "unless": {HEADER: ""}})
    found = {one.subject: one for one in examine(project.context(), root)}
    assert (found["writing"].level, "sse" in found["writing"].remedy) == ("bad", True)
