"""Faults that fire really happen, are counted, and happen to nobody who did not ask for them."""

from __future__ import annotations

import json
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from gtseg.local.errors import ServiceError
from gtseg.local.faults import Faults, read_faults

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


def test_each_kind_is_what_it_says_and_is_counted(faulty: tuple[Any, Path]) -> None:
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


def test_a_dropped_answer_is_of_work_that_was_done(faulty: tuple[Any, Path]) -> None:
    aws, path = faulty
    write_fault(path, kind="drop", operations=["s3:PutObject"])
    s3 = aws.client("s3", config=ONCE)
    assert outcome(lambda: s3.put_object(Bucket="photos", Key="new", Body=b"done")) == "ConnectionClosedError"
    assert s3.get_object(Bucket="photos", Key="new")["Body"].read() == b"done"


def test_a_client_with_retries_comes_through_a_fifth_of_each(faulty: tuple[Any, Path]) -> None:
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


def test_a_header_asks_only_where_faults_are_on(faulty: tuple[Any, Path], shared_aws: Any) -> None:
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


def test_the_same_seed_fires_on_the_same_requests(tmp_path: Path) -> None:
    path = tmp_path / "faults.toml"
    path.write_text('seed = 1\n[[fault]]\nkind = "fail"\nrate = 0.3\n')
    first = draw(path)
    assert first == draw(path)
    assert 5 <= sum(first) <= 25
    path.write_text('seed = 2\n[[fault]]\nkind = "fail"\nrate = 0.3\n')
    assert draw(path) != first


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"fualt": []}', "'fualt'"),
        ('{"fault": [{"kind": "explode"}]}', "'explode'"),
        ('{"fault": [{"kind": "fail", "rate": 2}]}', "rate 2"),
        ('{"fault": [{"kind": "fail", "operations": "s3:*"}]}', "'s3:*'"),
        ("{", "faults.json"),
    ],
)
def test_a_wrong_file_is_refused_with_what_is_wrong(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "faults.json"
    path.write_text(text)
    with pytest.raises(ServiceError, match=r"faults\.json") as refusal:
        read_faults(path)
    assert said in refusal.value.message
