"""`gtseg local up --s3 aws` with the credentials of an instance role, a web identity and IAM Identity Center (SSO).

Each server is a process with the environment of such a machine only; AWS is tests/aws_hosts.py.
"""

from __future__ import annotations

import hashlib
import html
import json
import re
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from aws_hosts import ACCOUNT, Answer, AWSHosts, Bucket
from botocore.exceptions import ClientError
from labeling.labeling_fixture import TEMPLATE, Labeling, draw_picture
from local_aws import CommandAWS
from polling import wait_for

from gtseg.local.storage.clients import Clients, Limits

POINT = f"arn:aws:s3:eu-west-1:{ACCOUNT}:accesspoint/photos"
DENIED_BY_STS = Answer(
    403,
    b"<ErrorResponse><Error><Code>AccessDenied</Code><Message>Not authorized to perform "
    b"sts:AssumeRoleWithWebIdentity</Message></Error></ErrorResponse>",
)


class HostsLabeling(Labeling):
    """Labeling with the bucket in one region of `hosts`, and images in another region behind an access point."""

    def __init__(self, aws: CommandAWS, hosts: AWSHosts) -> None:
        self.aws, self.hosts, self.bucket = aws, hosts, "results"
        hosts.buckets |= {"results": Bucket("us-west-2"), "images": Bucket("eu-west-1")}
        hosts.points["photos", ACCOUNT, "eu-west-1"] = "images"
        self.connect()

    def connect(self) -> None:
        super().connect()
        self.s3 = None
        self.put("template.liquid", TEMPLATE)

    def put(self, key: str, body: str | bytes) -> str:
        self.hosts.put(self.bucket, key, body.encode() if isinstance(body, str) else body)
        return f"s3://{self.bucket}/{key}"

    def put_pictures(self, count: int) -> list[str]:
        for number in range(count):
            self.hosts.put("images", f"day/{number:03}.jpg", draw_picture(number))
        return [f"s3://{POINT}/day/{number:03}.jpg" for number in range(count)]

    def read(self, uri: str) -> bytes:
        bucket, _, key = uri.removeprefix("s3://").partition("/")
        return self.hosts.buckets[bucket].objects[key][0]


@pytest.fixture
def hosts(tmp_path: Path) -> Iterator[AWSHosts]:
    with AWSHosts(tmp_path) as hosts:
        yield hosts


@pytest.fixture
def machine(tmp_path: Path, hosts: AWSHosts) -> Iterator[Any]:
    """`machine(variables, **flags)` starts a server on a machine with a separate home directory."""
    servers: list[CommandAWS] = []

    def start(variables: dict[str, str], **flags: str) -> CommandAWS:
        settings = {**hosts.environment, "HOME": str(tmp_path), "AWS_DEFAULT_REGION": "us-east-1", **variables}
        options = {"s3": "aws", "only": "labeling", **flags}
        servers.append(CommandAWS(tmp_path / "data", options=options, variables=settings))
        return servers[-1]

    yield start
    for server in servers:
        server.kill9()


def read_storage(aws: CommandAWS) -> dict[str, Any]:
    with urllib.request.urlopen(f"{aws.url}/_gtseg/health", timeout=30) as answer:
        return dict(json.load(answer)["storage"])


def await_reason(aws: CommandAWS, words: str) -> None:
    wait_for(lambda: words in (read_storage(aws)["reason"] or ""))
    assert not read_storage(aws)["reachable"]


def await_storage(aws: CommandAWS) -> None:
    wait_for(lambda: read_storage(aws)["reachable"])


def label_two(aws: CommandAWS, hosts: AWSHosts) -> None:
    """Label a job with images behind an access point, output in a bucket of another region, and a KMS key."""
    labeling = HostsLabeling(aws, hosts)
    worker = labeling.hire()
    hosts.seen.clear()
    request = labeling.request(2)
    request["OutputConfig"]["KmsKeyId"] = "alias/labels"
    labeling.sagemaker.create_labeling_job(**request)
    job = request["LabelingJobName"]
    show_picture(worker, labeling.lease(worker, job))
    labeling.label_all(worker, job)
    assert [line["source-ref"] for line in labeling.manifest(job)] == [f"s3://{POINT}/day/00{n}.jpg" for n in range(2)]
    written = [seen for seen in hosts.seen if seen.method == "PUT" and seen.host.startswith("results.")]
    assert {seen.kms_key for seen in written} == {"alias/labels"}
    assert sum(seen.path.endswith(".png") for seen in written) == 2
    asked = [seen for seen in hosts.seen if ".s3" in seen.host]
    assert {seen.region for seen in asked if "accesspoint" in seen.host} == {"eu-west-1"}
    assert all(seen.access_key.startswith("ASIA") and seen.headers["x-amz-security-token"] for seen in asked)


def show_picture(worker: Any, task: dict[str, Any]) -> None:
    """Check that a task's image and the link to it in the worker's page return the same image."""
    page = worker("GET", f"/tasks/{task['task']}/page")[1].decode()
    link = html.unescape(re.search(r'src="(http[^"]+X-Amz-Signature[^"]+)"', page)[1])  # type: ignore[index]
    with urllib.request.urlopen(link, timeout=30) as answer:
        assert answer.read() == worker("GET", f"/tasks/{task['task']}/image")[1] == draw_picture(int(task["object"]))


def test_an_instance_role_attached_later_is_used_and_its_expired_keys_are_renewed(
    machine: Any, hosts: AWSHosts
) -> None:
    hosts.refusals["169.254.169.254"] = Answer(404)
    aws = machine({})
    labeling = HostsLabeling(aws, hosts)
    with pytest.raises(ClientError, match="no AWS credentials were found"):
        labeling.create(1)
    await_reason(aws, "no AWS credentials were found for this server")
    hosts.refusals.clear()
    await_storage(aws)
    label_two(aws, hosts)
    hosts.expired = set(hosts.keys)
    hosts.refusals["169.254.169.254"] = Answer(500)
    with pytest.raises(ClientError):
        labeling.create(1)
    await_reason(aws, "The provided token has expired. (ExpiredToken)")
    hosts.refusals.clear()
    await_storage(aws)
    labeling.create(1)


def test_a_web_identity_is_exchanged_for_keys_and_its_refusal_fails_no_image(
    machine: Any, hosts: AWSHosts, tmp_path: Path
) -> None:
    token = tmp_path / "token"
    role = {"AWS_ROLE_ARN": f"arn:aws:iam::{ACCOUNT}:role/labels", "AWS_WEB_IDENTITY_TOKEN_FILE": str(token)}
    aws = machine(role)
    await_reason(aws, str(token))
    hosts.lifetime = 300  # less than boto3 wants to have left, so that it renews them at every request
    token.write_text("a token of the cluster")
    await_storage(aws)
    label_two(aws, hosts)
    assert len({seen.access_key for seen in hosts.seen if ".s3" in seen.host}) > 2
    hosts.expired = set(hosts.keys)
    hosts.refusals["sts."] = DENIED_BY_STS
    labeling = HostsLabeling(aws, hosts)
    with pytest.raises(ClientError):
        labeling.create(1)
    await_reason(aws, "Not authorized to perform sts:AssumeRoleWithWebIdentity")
    hosts.refusals.clear()
    await_storage(aws)
    labeling.create(1)


def test_a_login_of_identity_center_is_used_and_its_expiry_is_reported_with_a_fix(
    machine: Any, hosts: AWSHosts, tmp_path: Path
) -> None:
    (tmp_path / "config").write_text(
        f"[profile team]\nsso_session = company\nsso_account_id = {ACCOUNT}\nsso_role_name = labels\n"
        "[sso-session company]\nsso_region = eu-west-1\nsso_start_url = https://company.awsapps.com/start\n"
    )
    cache = tmp_path / ".aws" / "sso" / "cache"
    cache.mkdir(parents=True)

    def log_in(hours: float) -> None:
        ends = (datetime.now(UTC) + timedelta(hours=hours)).strftime("%Y-%m-%dT%H:%M:%SZ")
        about = {"startUrl": "https://company.awsapps.com/start", "region": "eu-west-1"}
        document = json.dumps({**about, "accessToken": "login", "expiresAt": ends})
        (cache / f"{hashlib.sha1(b'company').hexdigest()}.json").write_text(document)

    log_in(hours=-1)
    aws = machine({}, s3_profile="team")
    await_reason(aws, "Token has expired and refresh failed")
    log_in(hours=8)
    await_storage(aws)
    label_two(aws, hosts)


def test_an_unknown_access_key_causes_no_request_for_credentials(
    hosts: AWSHosts, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in hosts.environment.items():
        monkeypatch.setenv(name, value)
    for name in ("AWS_EC2_METADATA_DISABLED", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    role = {"AWS_ROLE_ARN": f"arn:aws:iam::{ACCOUNT}:role/labels", "AWS_WEB_IDENTITY_TOKEN_FILE": "/no/such/token"}
    for name, value in role.items():
        monkeypatch.setenv(name, value)
    clients = Clients("aws", "", Limits())
    hosts.seen.clear()
    assert clients.find_secret("AKIA0000000000000000") is None
    assert hosts.seen == []
