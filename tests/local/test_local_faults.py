"""Injected faults: effects, counts, seeds, canned responses, isolation."""

from __future__ import annotations

import base64
import hashlib
import json
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from gtseg.local.errors import ServiceError
from gtseg.local.front.fault_file import read_faults
from gtseg.local.front.faults import Faults

ONCE = Config(retries={"mode": "standard", "total_max_attempts": 1}, read_timeout=10)
BODY = bytes(range(256)) * 1000


def fired(aws: Any) -> dict[str, int]:
    with urllib.request.urlopen(f"{aws.url}/_gtseg/faults") as answer:
        return {kind: times for kind, times in json.load(answer)["fired"].items() if times}


def write_fault(path: Path, **members: Any) -> None:
    path.write_text(json.dumps({"fault": [members]}))


@pytest.fixture
def faulty(start_local_aws: Any, tmp_path: Path) -> tuple[Any, Path]:
    path = tmp_path / "faults.json"
    path.write_text("{}")
    aws = start_local_aws(options={"faults": str(path)})
    s3 = aws.client("s3")
    s3.create_bucket(Bucket="photos")
    s3.put_object(Bucket="photos", Key="k", Body=BODY)
    return aws, path


def outcome(call: Any) -> str:
    try:
        call()
    except ClientError as error:
        return str(error.response["Error"]["Code"])
    except BotoCoreError as error:
        return type(error).__name__
    return "ok"


def test_each_kind_of_fault_happens_and_is_counted(faulty: tuple[Any, Path]) -> None:
    aws, path = faulty
    s3, sagemaker = aws.client("s3", config=ONCE), aws.client("sagemaker", config=ONCE)
    outcomes = {}
    for kind in ("throttle", "fail", "delay", "drop", "truncate", "corrupt"):
        write_fault(path, kind=kind, operations=["s3:GetObject", "sagemaker:ListTags"], seconds=0.05)
        outcomes[kind] = outcome(lambda: s3.get_object(Bucket="photos", Key="k")["Body"].read())
    assert outcomes == {
        "throttle": "SlowDown",
        "fail": "InternalError",
        "delay": "ok",
        "drop": "ConnectionClosedError",
        "truncate": "ResponseStreamingError",
        "corrupt": "FlexibleChecksumError",
    }
    assert fired(aws) == dict.fromkeys(outcomes, 1)
    write_fault(path, kind="throttle", operations=["sagemaker:*"])
    arn = "arn:aws:sagemaker:us-east-1:123456789012:labeling-job/x"
    assert outcome(lambda: sagemaker.list_tags(ResourceArn=arn)) == "ThrottlingException"
    assert "Traceback" not in aws.log.read_text()


def test_a_request_with_a_dropped_response_is_carried_out(faulty: tuple[Any, Path]) -> None:
    aws, path = faulty
    write_fault(path, kind="drop", operations=["s3:PutObject"])
    s3 = aws.client("s3", config=ONCE)
    assert outcome(lambda: s3.put_object(Bucket="photos", Key="new", Body=b"done")) == "ConnectionClosedError"
    assert s3.get_object(Bucket="photos", Key="new")["Body"].read() == b"done"


UPLOADS = {
    "signed body": {"sha256": True},
    "Content-MD5": {"ContentMD5": base64.b64encode(hashlib.md5(BODY).digest()).decode()},
    "trailing checksum": {"ChecksumAlgorithm": "CRC32"},
    "announced checksum": {"ChecksumSHA256": base64.b64encode(hashlib.sha256(BODY).digest()).decode()},
}
REFUSALS = {
    "truncate-request": {"IncompleteBody"},
    "corrupt-request": {"BadDigest", "XAmzContentSHA256Mismatch"},
}


@pytest.mark.parametrize("vouched", UPLOADS)
@pytest.mark.parametrize("kind", REFUSALS)
def test_a_damaged_upload_is_refused_and_leaves_nothing(faulty: tuple[Any, Path], kind: str, vouched: str) -> None:
    aws, path = faulty
    parameters = dict(UPLOADS[vouched])
    signs = {"payload_signing_enabled": bool(parameters.pop("sha256", False))}
    sums = "when_supported" if "ChecksumAlgorithm" in parameters else "when_required"
    config = Config(retries={"total_max_attempts": 1, "mode": "standard"}, s3=signs, request_checksum_calculation=sums)
    s3 = aws.client("s3", config=config)
    files = count_files(aws)
    write_fault(path, kind=kind, operations=["s3:PutObject"])
    for key in ("k", "new"):
        said = outcome(lambda key=key: s3.put_object(Bucket="photos", Key=key, Body=BODY[::-1], **parameters))
        assert said in REFUSALS[kind]
    assert fired(aws) == {kind: 2}
    assert s3.get_object(Bucket="photos", Key="k")["Body"].read() == BODY
    assert [entry["Key"] for entry in s3.list_objects_v2(Bucket="photos")["Contents"]] == ["k"]
    assert count_files(aws) == files
    assert "Traceback" not in aws.log.read_text()


@pytest.mark.parametrize("kind", REFUSALS)
def test_a_damaged_part_and_a_damaged_small_body_are_refused(faulty: tuple[Any, Path], kind: str) -> None:
    aws, path = faulty
    s3 = aws.client("s3", config=ONCE)
    upload = s3.create_multipart_upload(Bucket="photos", Key="big")["UploadId"]
    rules = {"CORSRules": [{"AllowedMethods": ["GET"], "AllowedOrigins": ["*"]}]}
    write_fault(path, kind=kind)
    part = {"Bucket": "photos", "Key": "big", "UploadId": upload, "PartNumber": 1, "Body": BODY}
    assert outcome(lambda: s3.upload_part(**part)) in REFUSALS[kind]
    assert outcome(lambda: s3.put_bucket_cors(Bucket="photos", CORSConfiguration=rules)) in REFUSALS[kind]
    assert fired(aws) == {kind: 2}
    assert outcome(lambda: s3.get_bucket_cors(Bucket="photos")) == "NoSuchCORSConfiguration"
    assert "Parts" not in s3.list_parts(Bucket="photos", Key="big", UploadId=upload)


@pytest.mark.parametrize("kind", REFUSALS)
def test_a_damaged_json_request_has_an_invalid_signature(faulty: tuple[Any, Path], kind: str) -> None:
    aws, path = faulty
    write_fault(path, kind=kind, operations=["sagemaker:*"])
    sagemaker = aws.client("sagemaker", config=ONCE)
    assert outcome(lambda: sagemaker.list_labeling_jobs(NameContains="x")) == "InvalidSignatureException"
    assert fired(aws) == {kind: 1}


def count_files(aws: Any) -> int:
    return sum(1 for path in (aws.folder / "objects").rglob("*") if path.is_file())


def test_a_client_with_retries_succeeds_with_20_percent_of_each_fault(faulty: tuple[Any, Path]) -> None:
    aws, path = faulty
    kinds = ("throttle", "fail", "drop")
    faults = [{"kind": kind, "operations": ["s3:*Object"], "rate": 0.2} for kind in kinds]
    path.write_text(json.dumps({"seed": 3, "fault": faults}))
    s3 = aws.client("s3", config=Config(retries={"mode": "standard", "total_max_attempts": 20}))
    for number in range(15):
        s3.put_object(Bucket="photos", Key=f"{number}", Body=b"%d" % number)
    assert [s3.get_object(Bucket="photos", Key=f"{n}")["Body"].read() for n in range(15)] == [
        b"%d" % n for n in range(15)
    ]
    assert set(fired(aws)) == set(kinds)


def test_the_fault_header_is_ignored_unless_faults_are_enabled(faulty: tuple[Any, Path], shared_aws: Any) -> None:
    for aws, expected in ((faulty[0], "SlowDown"), (shared_aws, "ok")):
        s3 = aws.client("s3", config=ONCE)
        s3.meta.events.register("before-send.s3", ask_for_throttle)
        assert outcome(s3.list_buckets) == expected
    assert fired(shared_aws) == {}


def ask_for_throttle(request: Any, **_: Any) -> None:
    request.headers["x-gtseg-fault"] = "throttle"


def draw(path: Path) -> list[bool]:
    faults = Faults(path)
    return [faults.choose("s3:GetObject", {}) is not None for _ in range(50)]


def test_the_same_seed_affects_the_same_requests(tmp_path: Path) -> None:
    path = tmp_path / "faults.toml"
    path.write_text('seed = 1\n[[fault]]\nkind = "fail"\nrate = 0.3\n')
    first = draw(path)
    assert first == draw(path)
    assert 5 <= sum(first) <= 25
    path.write_text('seed = 2\n[[fault]]\nkind = "fail"\nrate = 0.3\nseed = 9\n')
    of_its_own = draw(path)
    path.write_text('[[fault]]\nkind = "fail"\nrate = 0.3\nseed = 9\n')
    assert draw(path) == of_its_own
    path.write_text('seed = 2\n[[fault]]\nkind = "fail"\nrate = 0.3\n')
    assert draw(path) != first


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"fualt": []}', "'fualt'"),
        ('{"fault": [{"kind": "explode"}]}', "'explode'"),
        ('{"fault": [{"kind": "fail", "rate": 2}]}', "rate 2"),
        ('{"fault": [{"kind": "fail", "operations": "s3:*"}]}', "'s3:*'"),
        ('{"fault": [{"kind": "answer", "status": "403"}]}', "status '403'"),
        ("{", "faults.json"),
    ],
)
def test_an_invalid_fault_file_is_refused_with_the_reason(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "faults.json"
    path.write_text(text)
    with pytest.raises(ServiceError, match=r"faults\.json") as refusal:
        read_faults(path)
    assert said in refusal.value.message


def test_a_canned_error_has_the_format_of_its_protocol(faulty: tuple[Any, Path]) -> None:
    aws, path = faulty
    clients = {name: aws.client(name, config=ONCE) for name in ("s3", "sagemaker", "sts", "logs")}
    write_fault(path, kind="answer", code="Odd", message="so & so", status=418, headers={"x-odd": "1"})
    calls = (
        lambda: clients["s3"].get_object(Bucket="photos", Key="k"),
        lambda: clients["s3"].list_objects_v2(Bucket="photos"),
        lambda: clients["sagemaker"].list_models(),
        lambda: clients["sts"].get_caller_identity(),
        lambda: clients["logs"].describe_log_groups(),
    )
    for call in calls:
        with pytest.raises(ClientError) as refusal:
            call()
        said = refusal.value.response
        assert (said["Error"]["Code"], said["Error"]["Message"]) == ("Odd", "so & so")
        assert said["ResponseMetadata"]["HTTPStatusCode"] == 418
        assert said["ResponseMetadata"]["HTTPHeaders"]["x-odd"] == "1"
    assert fired(aws) == {"answer": len(calls)}


def test_a_canned_response_may_be_an_html_page(faulty: tuple[Any, Path]) -> None:
    aws, path = faulty
    write_fault(path, kind="answer", status=200, body="<html>sign in</html>")
    request = urllib.request.Request(f"{aws.url}/photos/k")
    with urllib.request.urlopen(request) as answer:
        assert (answer.read(), answer.headers["content-type"]) == (b"<html>sign in</html>", "text/html")


def test_a_canned_response_can_be_limited_to_resources_and_by_a_header(
    faulty: tuple[Any, Path],
) -> None:
    aws, path = faulty
    s3 = aws.client("s3", config=ONCE)
    unless = {"x-amz-server-side-encryption": "AES256"}
    write_fault(path, kind="answer", operations=["s3:PutObject"], resources=["photos/a*"], unless=unless, code="No")
    put = {"Bucket": "photos", "Body": b"x"}
    assert outcome(lambda: s3.put_object(Key="a1", **put)) == "No"
    assert outcome(lambda: s3.put_object(Key="a1", ServerSideEncryption="AES256", **put)) == "ok"
    assert outcome(lambda: s3.put_object(Key="b1", **put)) == "ok"


def test_a_canned_response_can_start_after_some_requests(faulty: tuple[Any, Path]) -> None:
    aws, path = faulty
    s3 = aws.client("s3", config=ONCE)
    write_fault(path, kind="answer", operations=["s3:GetObject"], skip=2, limit=1, code="Gone")
    said = [outcome(lambda: s3.get_object(Bucket="photos", Key="k")) for _ in range(4)]
    assert said == ["ok", "ok", "Gone", "ok"]


def test_named_members_of_a_real_response_are_rewritten(faulty: tuple[Any, Path]) -> None:
    aws, path = faulty
    sts, logs = aws.client("sts", config=ONCE), aws.client("logs", config=ONCE)
    write_fault(path, kind="rewrite", operations=["logs:*"], when={"logGroups": []}, members={"nextToken": "a"})
    assert logs.describe_log_groups()["nextToken"] == "a"
    assert sts.get_caller_identity()["Account"]
    write_fault(path, kind="rewrite", operations=["logs:*"], when={"logGroups": 1}, members={"nextToken": "a"})
    assert "nextToken" not in logs.describe_log_groups()
