"""A labeling server with objects in another S3 service, which is a second embedded server."""

from __future__ import annotations

import html
import json
import re
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from botocore.exceptions import ClientError
from labeling.labeling_fixture import SIZE, Labeling, draw_answer, draw_picture, square
from local_aws import LocalAWS
from PIL import Image
from polling import wait_for
from prometheus_client.parser import text_string_to_metric_families
from typer.testing import CliRunner

from gtseg.local import cli
from gtseg.local.embedded import Options
from gtseg.local.environment import Serving
from gtseg.local.errors import ServiceError
from gtseg.local.execute import export_lines
from gtseg.local.front.health import redact_names
from gtseg.local.storage.layout import keep_storage
from gtseg.local.storage.objects import StorageState

STAMP = re.compile(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?")


class RemoteLabeling(Labeling):
    """Helpers for a labeling server with its bucket in the S3 service that the server uses."""

    def __init__(self, aws: LocalAWS, storage: LocalAWS) -> None:
        self.storage = storage
        super().__init__(aws)

    def connect(self) -> None:
        super().connect()
        self.s3 = self.storage.client("s3")


def variables(storage: LocalAWS) -> dict[str, str]:
    """Environment variables of a server that uses another server's S3."""
    return {name: storage.environment[name] for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION")}


def draw_masks(folder: Path, count: int) -> Path:
    folder.mkdir()
    for number in range(count):
        mask = np.zeros((SIZE[1], SIZE[0]), np.uint8)
        mask[4 : 12 + number % 5, 3 : 20 + number % 7] = 1
        Image.fromarray(mask).save(folder / f"{number:03}.png")
    return folder


@pytest.fixture(scope="module")
def masks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_masks(tmp_path_factory.mktemp("crowd") / "masks", 14)


@pytest.fixture(scope="module")
def pair(shared_aws: LocalAWS, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[LocalAWS, LocalAWS]]:
    """A labeling server without a crowd, and the server whose S3 it uses."""
    folder = tmp_path_factory.mktemp("people") / "aws"
    server = LocalAWS(folder, options={"s3": shared_aws.url}, variables=variables(shared_aws))
    yield server, shared_aws
    server.stop()


@pytest.fixture(scope="module")
def far_aws(shared_aws: LocalAWS, masks: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAWS]:
    """A labeling server with `--s3 URL --only labeling`, whose crowd labels every job."""
    options = {"s3": shared_aws.url, "only": "labeling", "crowd_masks": masks}
    server = LocalAWS(tmp_path_factory.mktemp("far") / "aws", options=options, variables=variables(shared_aws))
    yield server
    server.stop()


def label(labeling: Labeling, name: str) -> tuple[bytes, list[bytes]]:
    """Run a job labeled by the crowd; return its output manifest without times, and the masks in its order."""
    lines = [{"source-ref": labeling.put(f"images/{number:03}.jpg", draw_picture(number))} for number in range(14)]
    request = labeling.request(lines, workers=3) | {"LabelingJobName": name, "LabelAttributeName": "mask-ref"}
    labeling.sagemaker.create_labeling_job(**request)
    assert labeling.await_end(name)["LabelingJobStatus"] == "Completed"
    uri = labeling.describe(name)["LabelingJobOutput"]["OutputDatasetS3Uri"]
    manifest = STAMP.sub(b"T", labeling.read(uri)).replace(labeling.bucket.encode(), b"BUCKET")
    return manifest, [labeling.read(line["mask-ref"]) for line in labeling.manifest(name)]


def test_a_job_over_another_s3_service_writes_the_same_bytes_as_in_the_data_folder(
    far_aws: LocalAWS, shared_aws: LocalAWS, masks: Path, start_local_aws: Any
) -> None:
    near = start_local_aws(options={"crowd_masks": masks})
    assert label(RemoteLabeling(far_aws, shared_aws), "job") == label(Labeling(near), "job")


def test_s3_requests_are_refused_with_the_address_of_the_s3_service(far_aws: LocalAWS, shared_aws: LocalAWS) -> None:
    with pytest.raises(ClientError, match=re.escape(shared_aws.url)) as refusal:
        far_aws.client("s3").list_buckets()
    assert refusal.value.response["Error"]["Code"] == "NotImplemented"


def test_the_option_only_labeling_limits_the_services(far_aws: LocalAWS) -> None:
    assert far_aws.client("sagemaker").list_workteams()["Workteams"]
    for service, call in (
        ("sagemaker", "list_training_jobs"),
        ("logs", "describe_log_groups"),
        ("sts", "get_caller_identity"),
    ):
        with pytest.raises(ClientError, match="labeling only"):
            getattr(far_aws.client(service), call)()


def test_a_folder_with_unfinished_jobs_keeps_its_storage(tmp_path: Path) -> None:
    keep_storage(tmp_path, "", unfinished=3)
    with pytest.raises(ServiceError, match="3 unfinished labeling jobs") as refusal:
        keep_storage(tmp_path, "aws", unfinished=3)
    assert "gtseg local up --s3 aws" in refusal.value.message
    told = re.search(r"write (\{.*?\}) into (.*)\.$", refusal.value.message)
    assert told is not None
    Path(told[2]).write_text(told[1])
    keep_storage(tmp_path, "aws", unfinished=3)  # as the message says it: the same service under another address
    keep_storage(tmp_path, "", unfinished=0)
    keep_storage(tmp_path, "aws", unfinished=0)
    keep_storage(tmp_path, "aws", unfinished=2)
    with pytest.raises(ServiceError, match="StorageChanged"):
        keep_storage(tmp_path, "", unfinished=1)


def test_exported_lines_use_the_s3_service_and_contain_no_keys_for_it(tmp_path: Path) -> None:
    serving = Serving("http://here:1", 1, "AKIA", "secret", "token")

    def export(**options: Any) -> str:
        return "\n".join(export_lines(serving, tmp_path, "us-east-1", options=Options(**options)))

    assert "AWS_SECRET_ACCESS_KEY=secret" in export()
    own = export(s3="https://minio.lan:9000", s3_profile="minio")
    assert "AWS_ENDPOINT_URL_S3=https://minio.lan:9000\n" in own
    assert "AWS_PROFILE=minio" in own
    assert "secret" not in own
    for options in ({"s3": "aws"}, {"s3": "https://minio.lan:9000", "only": "labeling"}):
        assert not any(line.startswith("export") for line in export(**options).splitlines())
        assert "gtseg local profile labels --write" in export(**options)


def test_the_credentials_of_an_s3_service_are_accepted_by_its_labeling_server(
    far_aws: LocalAWS, shared_aws: LocalAWS
) -> None:
    owner = {"aws_access_key_id": shared_aws.access_key, "aws_secret_access_key": shared_aws.secret_key}
    assert far_aws.client("sagemaker", **owner).list_workteams()["Workteams"]
    with pytest.raises(ClientError, match="InvalidSignature"):
        far_aws.client("sagemaker", **owner | {"aws_secret_access_key": "wrong"}).list_workteams()


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--s3", "minio.lan"], "must be aws or the URL"),
        (["--s3", "http://[::1"], "must be aws or the URL"),
        (["--s3", "http://minio.lan:99999"], "must be aws or the URL"),
        (["--s3", "http://minio .lan"], "must be aws or the URL"),
        (["--s3", "https://key:secret@minio.lan"], "--s3 https://minio.lan: must be a URL without keys"),
        (["--s3", "https://minio.lan?key=secret"], "--s3 https://minio.lan: must be a URL without keys"),
        (["--s3", "s3://photos"], "must be aws or the URL"),
        (["--s3", "https://photos.s3.eu-west-1.amazonaws.com"], "is the address of one bucket"),
        (["--s3-profile", "x"], "--s3-profile requires --s3"),
        (["--only", "training"], "the only valid value is labeling"),
        (["--s3", "aws", "--s3-profile", "no-such-profile"], "'no-such-profile'"),
    ],
)
def test_invalid_storage_options_are_reported_in_one_line(flags: list[str], words: str, tmp_path: Path) -> None:
    result = CliRunner().invoke(cli.app, ["up", "--port=0", f"--data={tmp_path}", *flags])
    assert result.exit_code in (1, 2)
    assert words in result.output
    assert "Traceback" not in result.output


def test_image_links_of_task_pages_work_until_the_worker_is_removed(
    pair: tuple[LocalAWS, LocalAWS],
) -> None:
    labeling = RemoteLabeling(*pair)
    worker = labeling.hire("Ada")
    task = labeling.lease(worker, labeling.create(1))
    page = worker("GET", f"/tasks/{task['task']}/page")[1].decode()
    link = html.unescape(re.search(r'src="(http[^"]+X-Amz-Signature[^"]+)"', page)[1])  # type: ignore[index]
    assert link.startswith(pair[0].url)
    with urllib.request.urlopen(link, timeout=30) as answer:
        assert answer.read() == draw_picture(int(task["object"]))
    with pytest.raises(urllib.error.HTTPError, match="403"):
        urllib.request.urlopen(link.replace("images/", "images/x"), timeout=30)
    (person,) = labeling.owner("GET", "/workers")[1]["workers"]
    labeling.owner("DELETE", f"/workers/{person['worker_id']}")
    with pytest.raises(urllib.error.HTTPError, match="403"):
        urllib.request.urlopen(link, timeout=30)


# ---------------------------------------------------------------- away and back, and images that change


@pytest.fixture
def own_pair(start_local_aws: Any) -> tuple[LocalAWS, LocalAWS]:
    """A new labeling server, and a new server whose S3 it uses."""
    storage = start_local_aws()
    return start_local_aws(options={"s3": storage.url}, variables=variables(storage)), storage


def read_health(aws: LocalAWS) -> dict[str, Any]:
    with urllib.request.urlopen(f"{aws.url}/_gtseg/health", timeout=30) as answer:
        document: dict[str, Any] = json.load(answer)
        return document


def submit(worker: Any, task: dict[str, Any]) -> None:
    answer = {"answer": draw_answer(square(), task["labels"])}
    assert worker("POST", f"/tasks/{task['task']}/answer", answer)[0] == 200


def test_a_storage_unreachable_at_start_is_reported_at_once(tmp_path: Path) -> None:
    keys = {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x", "AWS_REGION": "us-east-1"}
    server = LocalAWS(tmp_path / "aws", options={"s3": "http://127.0.0.1:9"}, variables=keys)
    try:
        storage = wait_for(lambda: (found := read_health(server)["storage"])["reason"] and found)
        assert (storage["reachable"], storage["endpoint"]) == (False, "http://127.0.0.1:9")
    finally:
        server.stop()


def test_answers_are_kept_while_the_storage_is_unavailable_and_then_written_once(
    own_pair: tuple[LocalAWS, LocalAWS],
) -> None:
    far, storage = own_pair
    labeling = RemoteLabeling(far, storage)
    worker = labeling.hire()
    job = labeling.create(3)
    task = labeling.lease(worker, job)
    assert worker("GET", f"/tasks/{task['task']}/image")[0] == 200
    port = storage.port
    storage.kill9()
    assert worker("GET", f"/tasks/{task['task']}/image")[0] == 200, "what is handed out stays visible"
    submit(worker, task)
    submit(worker, labeling.lease(worker, job))
    health = wait_for(lambda: (found := read_health(far))["storage"]["reason"] and found)
    assert (health["status"], health["ready"], health["storage"]["reachable"]) == ("ok", True, False)
    assert health["backlog"] == {"objects": 2}
    assert storage.url in health["storage"]["reason"]
    far.kill9()  # while they wait
    storage.start(port=port)
    far.restart()
    labeling.connect()
    worker.url = far.url
    submit(worker, labeling.lease(worker, job))
    assert labeling.await_end(job)["LabelCounters"]["TotalLabeled"] == 3
    assert read_health(far)["storage"]["reachable"]
    assert read_health(far)["backlog"] == {"objects": 0}
    assert len(labeling.manifest(job)) == 3
    folder = f"out/{job}/annotations/"
    for kind, wanted in (("worker-response/", 3), ("consolidated-annotation/output/", 3)):
        assert len(labeling.keys(f"{folder}{kind}")) == wanted, kind


def test_a_replaced_image_fails_with_the_reason_and_its_answer_is_kept(
    pair: tuple[LocalAWS, LocalAWS],
) -> None:
    far, storage = pair
    labeling = RemoteLabeling(far, storage)
    worker = labeling.hire()
    job = labeling.create(3)
    first, second = labeling.lease(worker, job), None
    labeling.put(f"images/{int(first['object']):03}.jpg", draw_picture(99))
    submit(worker, first)  # drawn on the earlier image
    second = labeling.lease(worker, job)
    labeling.put(f"images/{int(second['object']):03}.jpg", draw_picture(98))
    status, refusal = worker("GET", f"/tasks/{second['task']}/image")
    assert (status, refusal["error"]) == (410, "Gone")
    submit(worker, labeling.lease(worker, job))
    counters = labeling.await_end(job)["LabelCounters"]
    assert (counters["TotalLabeled"], counters["FailedNonRetryableError"]) == (1, 2)
    name = f"{job}-ref-metadata"
    reasons = {n: line[name].get("failure-reason", "") for n, line in enumerate(labeling.manifest(job))}
    assert {n for n, reason in reasons.items() if "replaced" in reason} == {
        int(first["object"]),
        int(second["object"]),
    }
    kept = labeling.keys(f"out/{job}/annotations/worker-response/iteration-1/{first['object']}/")
    assert len(kept) == 1


def test_check_tests_the_rights_of_the_running_server(far_aws: LocalAWS, shared_aws: LocalAWS) -> None:
    labeling = RemoteLabeling(far_aws, shared_aws)
    labeling.await_end(labeling.create(1))
    check = ["check", "--s3", f"--data={far_aws.folder}"]
    result = CliRunner().invoke(cli.app, check)
    assert result.exit_code == 0, result.output
    assert f"s3:PutObject             s3://{labeling.bucket}/out/  allowed" in result.output
    assert f"s3:GetObject             s3://{labeling.bucket}/images/  allowed" in result.output
    result = CliRunner().invoke(cli.app, [*check, "--place=s3://no-such-bucket-at-all/x"])
    assert result.exit_code == 4
    assert "labeling-server.json" in result.output
    status, answer = labeling.owner("GET", "/owner/jobs")
    assert (status, answer["storage"]["endpoint"], answer["storage"]["waiting"]) == (200, shared_aws.url, 0)


# ---------------------------------------------------------------- metrics


def read_metrics(aws: LocalAWS, token: str, path: str = "/metrics") -> str:
    request = urllib.request.Request(f"{aws.url}{path}", headers={"Authorization": f"Bearer {token}"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return str(answer.read().decode())


def test_metrics_have_prometheus_format_and_require_the_owners_token(far_aws: LocalAWS, shared_aws: LocalAWS) -> None:
    for aws, kind in ((far_aws, "s3"), (shared_aws, "folder")):
        families = {f.name: f for f in text_string_to_metric_families(read_metrics(aws, aws.owner_token))}
        assert families["gtseg_info"].samples[0].labels["storage"] == kind
        assert families["gtseg_storage_up"].samples[0].value == 1
        assert {"gtseg_portal_seconds", "gtseg_labeling_tasks", "gtseg_backlog_objects"} <= families.keys()
        with pytest.raises(urllib.error.HTTPError, match="401"):
            read_metrics(aws, "wrong")
    assert "gtseg_storage_requests_total" in read_metrics(far_aws, far_aws.owner_token, "/_gtseg/metrics")


def test_a_bucket_may_be_named_metrics(shared_aws: LocalAWS) -> None:
    s3 = shared_aws.client("s3")
    s3.create_bucket(Bucket="metrics")
    s3.put_object(Bucket="metrics", Key="k", Body=b"x")
    assert [entry["Key"] for entry in s3.list_objects_v2(Bucket="metrics")["Contents"]] == ["k"]


@pytest.mark.parametrize(
    "reason",
    [
        "s3://secret-bucket cannot be read: User: arn:aws:sts::111122223333:assumed-role/secret-role/i-1 "
        "is not authorized to perform: "
        's3:GetObject on resource: "arn:aws:s3:::secret-bucket/secret job/1.jpg" because no policy allows it',
        (
            "https://minio.lan:9000: Could not connect to the endpoint URL: "
            '"https://minio.lan:9000/secret-bucket/secret-job/1.jpg"'
        ),
        'aws: Connect timeout on endpoint URL: "https://secret-bucket.s3.amazonaws.com/secret-job/1.jpg"',
        (
            "https://minio.lan:9000: an object of s3://secret-bucket arrived incomplete or damaged: the stored "
            "bytes of secret-job/1.jpg differ from those sent"
        ),
    ],
)
def test_the_public_health_response_reports_unavailable_storage_without_names(reason: str) -> None:
    told = redact_names(StorageState("s3", "https://minio.lan:9000", reason, 1.0))
    assert told.reason
    assert "secret" not in told.reason
    assert "111122223333" not in told.reason
