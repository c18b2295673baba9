"""Operations of CloudWatch Logs: create, put, describe, get, filter, delete."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

from gtseg.local.embedded import Component, Embedded
from gtseg.local.errors import ServiceError
from gtseg.local.front.protocol import JsonService
from gtseg.local.jobs.pagination import Paging, read_paging
from gtseg.local.logs.events import END, START, Event, LogEvents, Place, now_ms
from gtseg.local.logs.patterns import compile_pattern

PAGE_BYTES = 1_048_576
"""GetLogEvents and FilterLogEvents return at most 1 MB or 10,000 events."""
PAGE_EVENTS = 10_000
SCAN_EVENTS = 2_000
DAY = 86_400_000


class NoWork:
    """A component without background work."""

    def start(self) -> None: ...

    def stop(self) -> None: ...


def register(service: JsonService, embedded: Embedded) -> Component:
    """Register the operations of the `logs` service."""
    events = LogEvents(embedded.store)
    prefix = f"arn:aws:logs:{embedded.store.region}:{embedded.store.account}:log-group:"
    _register_writers(service, events)
    _register_listings(service, events, prefix)
    service.operation("GetLogEvents")(lambda request: _get_events(events, request, prefix=prefix))
    service.operation("FilterLogEvents")(lambda request: _filter_events(events, request, prefix=prefix))
    return NoWork()


def _register_writers(service: JsonService, events: LogEvents) -> None:
    @service.operation("CreateLogGroup")
    def create_group(request: dict[str, Any]) -> None:
        events.add_group(request["logGroupName"])

    @service.operation("CreateLogStream")
    def create_stream(request: dict[str, Any]) -> None:
        events.add_stream(request["logGroupName"], request["logStreamName"])

    @service.operation("PutLogEvents")
    def put(request: dict[str, Any]) -> dict[str, Any]:
        return _put_events(events, request)

    @service.operation("DeleteLogGroup")
    def delete_group(request: dict[str, Any]) -> None:
        events.remove_group(request["logGroupName"])

    @service.operation("DeleteLogStream")
    def delete_stream(request: dict[str, Any]) -> None:
        events.remove_stream(request["logGroupName"], request["logStreamName"])


def _put_events(events: LogEvents, request: dict[str, Any]) -> dict[str, Any]:
    """Carry out PutLogEvents: events must be in time order.

    Those older than 14 days or over 2 hours ahead are rejected.
    """
    group, stream = request["logGroupName"], request["logStreamName"]
    events.check_stream(group, stream)
    pairs = [(event["timestamp"], event["message"]) for event in request["logEvents"]]
    if any(later[0] < earlier[0] for earlier, later in itertools.pairwise(pairs)):
        raise ServiceError(
            "InvalidParameterException",
            "Log events in a single PutLogEvents request must be in chronological order.",
        )
    oldest, newest = now_ms() - 14 * DAY, now_ms() + DAY // 12
    kept = [pair for pair in pairs if oldest <= pair[0] <= newest]
    events.put(group, stream, kept)
    old = sum(moment < oldest for moment, _ in pairs)
    new = sum(moment > newest for moment, _ in pairs)
    rejected = {
        "tooOldLogEventEndIndex": old or None,
        "tooNewLogEventStartIndex": len(pairs) - new if new else None,
    }
    return {"nextSequenceToken": str(now_ms()), "rejectedLogEventsInfo": rejected if old or new else None}


def _register_listings(service: JsonService, events: LogEvents, prefix: str) -> None:
    @service.operation("DescribeLogGroups")
    def describe_groups(request: dict[str, Any]) -> dict[str, Any]:
        paging = _read_paging(request)
        after = paging.after[0] if paging.after else ""
        rows = events.groups(prefix=request.get("logGroupNamePrefix", ""), after=after, limit=paging.limit + 1)
        page, token = paging.cut(rows, lambda row: (row["name"],))
        return {"logGroups": [_describe_group(row, prefix) for row in page], "nextToken": token}

    @service.operation("DescribeLogStreams")
    def describe_streams(request: dict[str, Any]) -> dict[str, Any]:
        return _list_streams(events, request, prefix=prefix)


def _describe_group(row: Any, prefix: str) -> dict[str, Any]:
    arn = prefix + row["name"]
    return {
        "logGroupName": row["name"],
        "creationTime": row["created"],
        "metricFilterCount": 0,
        "arn": arn + ":*",
        "logGroupClass": "STANDARD",
        "logGroupArn": arn,
    }


def _list_streams(events: LogEvents, request: dict[str, Any], *, prefix: str) -> dict[str, Any]:
    """Carry out DescribeLogStreams, sorted by name or by the time of the last event."""
    group = _group_of(request, prefix)
    by_time = request.get("orderBy") == "LastEventTime"
    if by_time and "logStreamNamePrefix" in request:
        raise ServiceError("InvalidParameterException", "Cannot order by LastEventTime with a logStreamNamePrefix.")
    rows = events.streams(group, prefix=request.get("logStreamNamePrefix", ""))
    page, token = _read_paging(request).select(
        rows, lambda row: (row["last"] or 0, row["name"]) if by_time else (row["name"],)
    )
    return {
        "logStreams": [_describe_stream(row, f"{prefix}{group}:log-stream:") for row in page],
        "nextToken": token,
    }


def _describe_stream(row: Any, prefix: str) -> dict[str, Any]:
    return {
        "logStreamName": row["name"],
        "creationTime": row["created"],
        "firstEventTimestamp": row["first"],
        "lastEventTimestamp": row["last"],
        "lastIngestionTime": row["ingested"],
        "uploadSequenceToken": str(row["id"]),
        "arn": prefix + row["name"],
        "storedBytes": 0,
    }


def _get_events(events: LogEvents, request: dict[str, Any], *, prefix: str) -> dict[str, Any]:
    """Carry out GetLogEvents: a page and the tokens of both its ends; an empty page returns the request's token.

    A forward token stays valid: a later request with it returns the events added since.
    """
    name = request["logStreamName"]
    streams = {events.check_stream(_group_of(request, prefix), name): name}
    window = (request.get("startTime", 0), request.get("endTime", END[0]))
    limit = request.get("limit", PAGE_EVENTS)
    token = request.get("nextToken")
    direction, place = _decode_token(token) if token else ("f" if request.get("startFromHead") else "b", None)
    if direction == "f":
        page = _cut(events.after(streams, place or START, window=window, limit=limit))
    else:
        page = _cut(events.before(streams, place or END, window=window, limit=limit)[::-1])[::-1]
    first, last = (page[0].place, page[-1].place) if page else (place or START, place or START)
    return {
        "events": [
            {"timestamp": event.time, "message": event.message, "ingestionTime": event.ingested} for event in page
        ],
        "nextForwardToken": _encode_token("f", last),
        "nextBackwardToken": _encode_token("b", first),
    }


def _filter_events(events: LogEvents, request: dict[str, Any], *, prefix: str) -> dict[str, Any]:
    """Carry out FilterLogEvents over some or all streams of a group, oldest first."""
    streams = _chosen_streams(events, request, prefix)
    matches = compile_pattern(request.get("filterPattern", ""))
    window = (request.get("startTime", 0), request.get("endTime", END[0]))
    limit = request.get("limit", PAGE_EVENTS)
    token = request.get("nextToken")
    place = _decode_token(token)[1] if token else START
    found: list[Event] = []
    size, more = 0, bool(streams)
    while more and len(found) < limit and size < PAGE_BYTES:
        scanned = events.after(streams, place, window=window, limit=SCAN_EVENTS)
        more = len(scanned) == SCAN_EVENTS
        for number, event in enumerate(scanned):
            place = event.place
            if matches(event.message):
                found.append(event)
                size += len(event.message)
            if len(found) == limit or size >= PAGE_BYTES:
                more = more or number + 1 < len(scanned)
                break
    return {
        "events": [_describe_match(event) for event in found],
        "searchedLogStreams": [],
        "nextToken": _encode_token("f", place) if more else None,
    }


def _describe_match(event: Event) -> dict[str, Any]:
    return {
        "logStreamName": event.stream,
        "timestamp": event.time,
        "message": event.message,
        "ingestionTime": event.ingested,
        "eventId": f"{event.id:056d}",
    }


def _chosen_streams(events: LogEvents, request: dict[str, Any], prefix: str) -> dict[int, str]:
    group = _group_of(request, prefix)
    names: Sequence[str] | None = request.get("logStreamNames")
    if names and "logStreamNamePrefix" in request:
        raise ServiceError(
            "InvalidParameterException", "logStreamNames and logStreamNamePrefix are mutually exclusive."
        )
    if names:
        return {events.check_stream(group, name): name for name in names}
    rows = events.streams(group, prefix=request.get("logStreamNamePrefix", ""))
    return {row["id"]: row["name"] for row in rows}


def _group_of(request: dict[str, Any], prefix: str) -> str:
    """Return a group's name, from `logGroupName` or the name or ARN in `logGroupIdentifier`."""
    name = request.get("logGroupName") or request.get("logGroupIdentifier")
    if not name:
        raise ServiceError("InvalidParameterException", "Specify logGroupName or logGroupIdentifier.")
    return str(name).removeprefix(prefix).removesuffix(":*")


def _cut(page: list[Event]) -> list[Event]:
    """Return the first events that fit into a response, at least one if there is any."""
    size = 0
    for number, event in enumerate(page):
        size += len(event.message.encode())
        if size > PAGE_BYTES and number:
            return page[:number]
    return page


def _encode_token(direction: str, place: Place) -> str:
    return f"{direction}/{place[0]}-{place[1]}" if place != START else f"{direction}/start"


def _decode_token(token: str) -> tuple[str, Place]:
    direction, _, text = token.partition("/")
    if direction in ("f", "b") and text == "start":
        return direction, START
    try:
        moment, number = text.split("-")
        if direction in ("f", "b"):
            return direction, (int(moment), int(number))
    except ValueError:
        pass
    raise ServiceError("InvalidParameterException", "The specified nextToken is invalid.")


def _read_paging(request: dict[str, Any]) -> Paging:
    return read_paging(
        request,
        size=50,
        is_descending=request.get("descending", False),
        limit="limit",
        token="nextToken",
        code="InvalidParameterException",
    )
