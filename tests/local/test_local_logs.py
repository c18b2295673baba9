"""CloudWatch Logs of the embedded AWS through boto3 and a real server; unit tests of filter patterns."""

from __future__ import annotations

import time
from typing import Any

import pytest
from botocore.exceptions import ClientError
from hypothesis import given
from hypothesis import strategies as st

from gtseg.local.errors import ServiceError
from gtseg.local.logs.patterns import compile_pattern


def put_lines(logs: Any, group: str, stream: str, lines: list[str], *, start: int) -> None:
    events = [{"timestamp": start + number, "message": line} for number, line in enumerate(lines)]
    logs.put_log_events(logGroupName=group, logStreamName=stream, logEvents=events)


def make_stream(logs: Any, group: str, stream: str, lines: list[str]) -> int:
    """Create a stream with one event per millisecond; return the time of the first."""
    groups = logs.describe_log_groups(logGroupNamePrefix=group)["logGroups"]
    if not groups:
        logs.create_log_group(logGroupName=group)
    logs.create_log_stream(logGroupName=group, logStreamName=stream)
    start = int(time.time() * 1000) - 60_000
    if lines:
        put_lines(logs, group, stream, lines, start=start)
    return start


def read_on(logs: Any, group: str, stream: str, **arguments: Any) -> tuple[list[str], dict[str, Any]]:
    page = logs.get_log_events(logGroupName=group, logStreamName=stream, **arguments)
    return [event["message"] for event in page["events"]], page


def test_forward_pages_have_every_line_once_and_the_last_token_stays_valid(shared_aws: Any) -> None:
    logs = shared_aws.client("logs")
    lines = [f"line {number}" for number in range(25)]
    start = make_stream(logs, "/forward", "one", lines[:20])
    seen, token = [], {}
    while True:
        messages, page = read_on(logs, "/forward", "one", startFromHead=True, limit=7, **token)
        seen += messages
        if not messages:
            break
        token = {"nextToken": page["nextForwardToken"]}
    assert page["nextForwardToken"] == token["nextToken"], "at the end the same token is returned"
    put_lines(logs, "/forward", "one", lines[20:], start=start + 20)
    seen += read_on(logs, "/forward", "one", startFromHead=True, **token)[0]
    assert seen == lines


def test_the_last_lines_are_returned_first_and_backward_tokens_lead_to_the_start(
    shared_aws: Any,
) -> None:
    logs = shared_aws.client("logs")
    make_stream(logs, "/backward", "one", [str(number) for number in range(10)])
    messages, page = read_on(logs, "/backward", "one", limit=4)
    assert messages == ["6", "7", "8", "9"]
    messages, page = read_on(logs, "/backward", "one", limit=4, nextToken=page["nextBackwardToken"])
    assert messages == ["2", "3", "4", "5"]
    messages, page = read_on(logs, "/backward", "one", limit=4, nextToken=page["nextBackwardToken"])
    assert messages == ["0", "1"]


def test_a_window_of_time_excludes_its_end(shared_aws: Any) -> None:
    logs = shared_aws.client("logs")
    start = make_stream(logs, "/window", "one", list("abcd"))
    window = {"startTime": start + 1, "endTime": start + 3}
    assert read_on(logs, "/window", "one", startFromHead=True, **window)[0] == ["b", "c"]


def test_filtering_returns_all_streams_of_a_group_in_time_order(shared_aws: Any) -> None:
    logs = shared_aws.client("logs")
    make_stream(logs, "/filter", "a/1", ["mIOU: 0.1", "loss: 3", "mIOU: 0.2"])
    make_stream(logs, "/filter", "b/1", ["mIOU: 0.3"])
    pages = logs.get_paginator("filter_log_events").paginate(
        logGroupName="/filter", filterPattern="mIOU", PaginationConfig={"PageSize": 1}
    )
    events = [event for page in pages for event in page["events"]]
    assert sorted(event["message"] for event in events) == ["mIOU: 0.1", "mIOU: 0.2", "mIOU: 0.3"]
    assert [event["timestamp"] for event in events] == sorted(event["timestamp"] for event in events)
    assert len({event["eventId"] for event in events}) == 3
    only = logs.filter_log_events(logGroupName="/filter", logStreamNamePrefix="b/")["events"]
    assert [event["logStreamName"] for event in only] == ["b/1"]


def test_groups_and_streams_are_listed_by_prefix_and_latest_event(shared_aws: Any) -> None:
    logs = shared_aws.client("logs")
    make_stream(logs, "/listed", "first", ["x"])
    make_stream(logs, "/listed", "second", [])
    start = int(time.time() * 1000)
    put_lines(logs, "/listed", "second", ["y"], start=start)
    latest = logs.describe_log_streams(logGroupName="/listed", orderBy="LastEventTime", descending=True)
    assert [stream["logStreamName"] for stream in latest["logStreams"]] == ["second", "first"]
    assert latest["logStreams"][0]["lastEventTimestamp"] == start
    named = logs.describe_log_streams(logGroupName="/listed", logStreamNamePrefix="fir")["logStreams"]
    assert [stream["logStreamName"] for stream in named] == ["first"]
    logs.delete_log_group(logGroupName="/listed")
    with pytest.raises(logs.exceptions.ResourceNotFoundException, match="log group does not exist"):
        logs.describe_log_streams(logGroupName="/listed")


def test_invalid_names_orders_and_tokens_are_refused(shared_aws: Any) -> None:
    logs = shared_aws.client("logs")
    make_stream(logs, "/wrong", "one", [])
    with pytest.raises(logs.exceptions.ResourceAlreadyExistsException):
        logs.create_log_stream(logGroupName="/wrong", logStreamName="one")
    with pytest.raises(logs.exceptions.ResourceNotFoundException, match="log stream does not exist"):
        read_on(logs, "/wrong", "two")
    with pytest.raises(ClientError, match="nextToken is invalid"):
        read_on(logs, "/wrong", "one", nextToken="f/elsewhere")
    moment = int(time.time() * 1000)
    backwards = [{"timestamp": moment, "message": "b"}, {"timestamp": moment - 1, "message": "a"}]
    with pytest.raises(ClientError, match="chronological order"):
        logs.put_log_events(logGroupName="/wrong", logStreamName="one", logEvents=backwards)
    old = [{"timestamp": 1, "message": "long ago"}, {"timestamp": moment, "message": "now"}]
    answer = logs.put_log_events(logGroupName="/wrong", logStreamName="one", logEvents=old)
    assert answer["rejectedLogEventsInfo"] == {"tooOldLogEventEndIndex": 1}
    assert read_on(logs, "/wrong", "one")[0] == ["now"]


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("", ["ERROR one", "ERROR two", "WARN one"]),
        ("ERROR", ["ERROR one", "ERROR two"]),
        ("ERROR one", ["ERROR one"]),
        ('"ERROR one"', ["ERROR one"]),
        ("?two ?WARN", ["ERROR two", "WARN one"]),
        ("one -WARN", ["ERROR one"]),
    ],
)
def test_patterns_support_terms_phrases_options_and_exclusions(pattern: str, found: list[str]) -> None:
    matches = compile_pattern(pattern)
    assert [line for line in ("ERROR one", "ERROR two", "WARN one") if matches(line)] == found


@pytest.mark.parametrize("pattern", ["{ $.x = 1 }", "[a, b]", "%x+%", 'half "open'])
def test_unsupported_patterns_are_refused(pattern: str) -> None:
    with pytest.raises(ServiceError, match="InvalidParameterException"):
        compile_pattern(pattern)


@given(st.text(st.characters(blacklist_categories=["Cs"]), min_size=1).filter(str.strip), st.text())
def test_a_quoted_phrase_matches_anywhere_in_a_line(phrase: str, around: str) -> None:
    quoted = phrase.replace("\\", "\\\\").replace('"', '\\"')
    assert compile_pattern(f'"{quoted}"')(around + phrase + around)
