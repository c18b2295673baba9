"""The call log, calls.jsonl: contents, rotation, full disks."""

from __future__ import annotations

import json
import resource
import threading
from pathlib import Path

import pytest

from gtseg.local.front.calls import CallLog, find_name, find_operation

TARGET = {"x-amz-target": "SageMaker.CreateTrainingJob"}
FORM = {"content-type": "application/x-www-form-urlencoded; charset=utf-8"}


@pytest.mark.parametrize(
    ("headers", "body", "operation"),
    [
        (TARGET, b"{}", "CreateTrainingJob"),
        (FORM, b"Action=CreateRole&RoleName=r", "CreateRole"),
        (FORM, b"\xff", ""),
        ({}, b'{"Action": "x"}', ""),
    ],
)
def test_the_operation_of_a_request_is_found_for_each_protocol(
    headers: dict[str, str], body: bytes, operation: str
) -> None:
    assert find_operation(headers, body) == operation


@pytest.mark.parametrize(
    ("operation", "headers", "body", "name"),
    [
        ("CreateTrainingJob", TARGET, b'{"RoleName": "r", "TrainingJobName": "t"}', "t"),
        ("CreateEndpoint", TARGET, b'{"EndpointConfigName": "c", "EndpointName": "e"}', "e"),
        ("DeleteTags", TARGET, b'{"ResourceArn": "arn:x"}', "arn:x"),
        ("CreateRole", FORM, b"Action=CreateRole&RoleName=labeler", "labeler"),
        ("CreateTrainingJob", TARGET, b'{"TrainingJobName": 5}', ""),
        ("CreateTrainingJob", TARGET, b"[1]", ""),
        ("CreateTrainingJob", TARGET, b"{", ""),
        ("CreateTrainingJob", TARGET, b"[" * 100_000, ""),
        ("CreateRole", FORM, b"\xff\xfe", ""),
    ],
)
def test_the_resource_name_of_a_request_is_found_for_each_operation(
    operation: str, headers: dict[str, str], body: bytes, name: str
) -> None:
    assert find_name(operation, headers, body) == name


def test_only_changing_calls_are_logged_and_concurrent_lines_are_complete(tmp_path: Path) -> None:
    log = CallLog(tmp_path / "calls.jsonl")

    def record(number: int) -> None:
        for operation in ("CreateModel", "DescribeModel", "ListModels"):
            log.record(service="sagemaker", operation=operation, name=f"ü\n{number}", status=200, code="")

    threads = [threading.Thread(target=record, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    log.close()
    lines = [json.loads(line) for line in (tmp_path / "calls.jsonl").read_text().splitlines()]
    assert {line["operation"] for line in lines} == {"CreateModel"}
    assert {line["name"] for line in lines} == {f"ü\n{number}" for number in range(20)}


def test_lines_of_an_earlier_server_are_kept(tmp_path: Path) -> None:
    for name in ("a", "b"):
        log = CallLog(tmp_path / "calls.jsonl")
        log.record(service="s3", operation="CreateBucket", name=name, status=200, code="")
        log.close()
    assert len((tmp_path / "calls.jsonl").read_text().splitlines()) == 2


def test_a_full_disk_leaves_no_incomplete_line(tmp_path: Path) -> None:
    log = CallLog(tmp_path / "calls.jsonl")
    log.record(service="s3", operation="CreateBucket", name="a", status=200, code="")
    size = (tmp_path / "calls.jsonl").stat().st_size
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 20, limits[1]))
    try:
        with pytest.raises(OSError):
            log.record(service="s3", operation="CreateBucket", name="b", status=200, code="")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    log.record(service="s3", operation="CreateBucket", name="c", status=200, code="")
    lines = (tmp_path / "calls.jsonl").read_text().splitlines()
    assert [json.loads(line)["name"] for line in lines] == ["a", "c"]


def test_an_incomplete_line_after_a_power_cut_is_separated_from_the_next(tmp_path: Path) -> None:
    (tmp_path / "calls.jsonl").write_text('{"time": "2026')
    log = CallLog(tmp_path / "calls.jsonl")
    log.record(service="s3", operation="CreateBucket", name="b", status=200, code="")
    log.close()
    assert json.loads((tmp_path / "calls.jsonl").read_text().splitlines()[-1])["name"] == "b"


def test_full_log_files_are_rotated_and_the_oldest_is_deleted(tmp_path: Path) -> None:
    log = CallLog(tmp_path / "calls.jsonl", file_bytes=1000)
    for number in range(100):
        log.record(service="s3", operation="CreateBucket", name=f"{number}", status=200, code="")
    log.close()
    kept = sorted(tmp_path.iterdir())
    assert [path.name for path in kept] == ["calls.jsonl", *(f"calls.jsonl.{n}" for n in range(1, 5))]
    assert all(path.stat().st_size <= 1000 for path in kept)
    lines = [line for path in [*kept[:0:-1], kept[0]] for line in path.read_text().splitlines()]
    names = [int(json.loads(line)["name"]) for line in lines]
    assert names == list(range(names[0], 100))


def test_a_very_long_name_is_truncated(tmp_path: Path) -> None:
    log = CallLog(tmp_path / "calls.jsonl")
    log.record(service="s3", operation="CreateBucket", name="x" * 5_000_000, status=200, code="")
    assert (tmp_path / "calls.jsonl").stat().st_size < 2000
