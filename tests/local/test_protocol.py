"""The JSON 1.1 protocol from service models: validation, errors, responses."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.parsers import create_parser
from hypothesis import given, settings
from hypothesis import strategies as st

from gtseg.local.errors import ServiceError
from gtseg.local.front.protocol import JsonService, compile_pattern, load_model


def echo_service(operation: str = "ListLabelingJobs", answer: Any = None) -> tuple[JsonService, list[dict]]:
    service, seen = JsonService("sagemaker"), []

    @service.operation(operation)
    def handle(request: dict) -> Any:
        seen.append(request)
        if isinstance(answer, Exception):
            raise answer
        return answer

    return service, seen


def ask(service: JsonService, operation: str, request: Any) -> tuple[int, dict, dict]:
    body = request if isinstance(request, bytes) else json.dumps(request).encode()
    status, headers, answer = service.answer(f"SageMaker.{operation}", body)
    return status, headers, json.loads(answer or b"{}")


EMPTY = {"LabelingJobSummaryList": []}


def test_a_value_that_violates_a_pattern_is_refused_with_awss_message() -> None:
    service, _ = echo_service("StopLabelingJob")
    status, headers, body = ask(service, "StopLabelingJob", {"LabelingJobName": "a b!"})
    assert status == 400
    assert headers["x-amzn-ErrorType"] == body["__type"] == "ValidationException"
    assert body["message"] == (
        "1 validation error detected: Value 'a b!' at 'labelingJobName' failed to satisfy constraint: "
        "Member must satisfy regular expression pattern: [a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}"
    )


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        (
            {"MaxResults": 0},
            "Value '0' at 'maxResults' failed to satisfy constraint: Member must have value greater than or equal to 1",
        ),
        ({"MaxResults": 101}, "Member must have value less than or equal to 100"),
        (
            {"NameContains": "a" * 64},
            "at 'nameContains' failed to satisfy constraint: Member must have length less than or equal to 63",
        ),
        (
            {"SortBy": "Size"},
            (
                "Value 'Size' at 'sortBy' failed to satisfy constraint: Member must satisfy enum value set: "
                "[Name, CreationTime, Status]"
            ),
        ),
        ({"SortBy": "Size", "MaxResults": 0}, "2 validation errors detected: "),
    ],
)
def test_values_that_violate_the_model_are_validation_exceptions(request_: dict, words: str) -> None:
    service, seen = echo_service(answer=EMPTY)
    status, _, body = ask(service, "ListLabelingJobs", request_)
    assert (status, body["__type"]) == (400, "ValidationException")
    assert words in body["message"]
    assert not seen


def test_missing_members_are_named_also_within_structures_and_lists() -> None:
    service, _ = echo_service("AddTags")
    _, _, body = ask(service, "AddTags", {"Tags": [{"Key": "a"}]})
    assert body["message"].startswith("2 validation errors detected: Value null at 'resourceArn'")
    assert (
        "Value null at 'tags.1.member.value' failed to satisfy constraint: Member must not be null" in body["message"]
    )


@pytest.mark.parametrize(
    "request_",
    [
        b"{",
        b"[]",
        b'"x"',
        b"\xff",
        b"[" * 100_000,
        {"MaxResults": "5"},
        {"MaxResults": True},
        {"MaxResults": 2.5},
        {"NameContains": 5},
        {"CreationTimeAfter": "yesterday"},
        {"CreationTimeAfter": 1e300},
        {"NameContains": "\ud800"},
    ],
)
def test_json_of_the_wrong_type_is_a_serialization_exception(request_: Any) -> None:
    service, seen = echo_service(answer=EMPTY)
    status, _, body = ask(service, "ListLabelingJobs", request_)
    assert (status, body["__type"]) == (400, "SerializationException")
    assert not seen


def test_timestamps_are_read_as_datetimes_and_unknown_and_null_members_dropped() -> None:
    service, seen = echo_service(answer=EMPTY)
    ask(service, "ListLabelingJobs", {"CreationTimeAfter": 1.5, "NameContains": None, "Wrong": 1})
    assert seen == [{"CreationTimeAfter": datetime(1970, 1, 1, 0, 0, 1, 500_000, tzinfo=UTC)}]


@pytest.mark.parametrize(
    "target", ["SageMaker.Nothing", "SageMaker.DescribeLabelingJob", "Logs_20140328.ListLabelingJobs", ""]
)
def test_an_operation_without_a_handler_is_unknown(target: str) -> None:
    service, _ = echo_service(answer=EMPTY)
    status, _, body = service.answer(target, b"{}")
    assert (status, json.loads(body)["__type"]) == (400, "UnknownOperationException")


def test_a_handler_for_an_operation_outside_the_model_is_refused() -> None:
    with pytest.raises(KeyError, match="Nothing"):
        JsonService("sagemaker").operation("Nothing")


def test_an_error_reaches_a_client_with_code_message_and_status() -> None:
    service, _ = echo_service(answer=ServiceError("ResourceNotFound", "No job x"))
    status, headers, body = service.answer("SageMaker.ListLabelingJobs", b"{}")
    parsed = create_parser("json").parse(
        {"status_code": status, "headers": headers, "body": body},
        load_model("sagemaker").operation_model("StopLabelingJob").output_shape,
    )
    assert parsed["Error"] == {"Code": "ResourceNotFound", "Message": "No job x"}


def test_botocore_parses_a_response_without_none_and_empty_members() -> None:
    made = datetime(2026, 11, 20, 12, 0, 0, 123_000, tzinfo=UTC)
    job = {
        "LabelingJobName": "a", "LabelingJobArn": "arn:aws:sagemaker:us-east-1:123456789012:labeling-job/a",
        "CreationTime": made, "LastModifiedTime": made, "LabelingJobStatus": "InProgress",
        "LabelCounters": {"TotalLabeled": 0}, "WorkteamArn": "w", "FailureReason": None, "InputConfig": {},
    }  # fmt: skip
    service, _ = echo_service(answer={"LabelingJobSummaryList": [job], "NextToken": None})
    status, headers, body = service.answer("SageMaker.ListLabelingJobs", b"{}")
    assert b'"CreationTime":1795176000.123' in body
    parsed = create_parser("json").parse(
        {"status_code": status, "headers": headers, "body": body},
        load_model("sagemaker").operation_model("ListLabelingJobs").output_shape,
    )
    want = {k: v for k, v in job.items() if v is not None and v != {}}
    assert parsed["LabelingJobSummaryList"] == [want]
    assert "NextToken" not in parsed


@pytest.mark.parametrize(
    "answer", [{"LabelingJobSummaryList": [], "Typo": 1}, {"LabelingJobSummaryList": [{}]}, RuntimeError("x")]
)
def test_an_invalid_result_of_a_handler_is_an_internal_failure(answer: Any) -> None:
    service, _ = echo_service(answer=answer)
    status, _, body = ask(service, "ListLabelingJobs", {})
    assert (status, body["__type"]) == (500, "InternalFailure")


@pytest.mark.parametrize("name", ["sagemaker", "logs"])
def test_every_pattern_of_the_model_compiles(name: str) -> None:
    model = load_model(name)
    patterns = {model.shape_for(shape).metadata.get("pattern") for shape in model.shape_names} - {None}
    assert all(compile_pattern(pattern) for pattern in patterns)
    assert compile_pattern(r"([\p{L}\p{Z}\p{N}_.:/=+\-@]*)").fullmatch("gtseg:Größe 1/2")
    assert not compile_pattern(r"([\p{L}\p{Z}\p{N}_.:/=+\-@]*)").fullmatch("a;b")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["LabelingJobName", "InputConfig", "Tags", "Key", "HumanTaskConfig", "TaskKeywords", "DataSource"]
            )
            | st.text(),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@settings(max_examples=150, deadline=None)
@given(json_values)
def test_any_json_is_answered(document: Any) -> None:
    service, _seen = echo_service("CreateLabelingJob", {"LabelingJobArn": "x"})
    status, _, body = ask(service, "CreateLabelingJob", json.dumps(document).encode())
    assert status in (200, 400)
    assert status == 200 or body["__type"] in ("ValidationException", "SerializationException")


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=60))
def test_any_bytes_are_answered(body: bytes) -> None:
    status, _, answer = echo_service(answer=EMPTY)[0].answer("SageMaker.ListLabelingJobs", body)
    assert status in (200, 400)
    assert json.loads(answer) is not None
