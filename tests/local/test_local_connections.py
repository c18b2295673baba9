"""Limits of connections: size and duration of request heads, silence in bodies, number per address."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import pytest
from botocore.config import Config
from local_aws import LocalAWS

from gtseg.local.front.connections import (
    ANONYMOUS_BUSY,
    AUTHENTICATED_BUSY,
    AUTHENTICATED_IDLE,
    CLOSED,
    HEAD_BYTES_MAXIMUM,
    Connections,
    JoinedWrites,
)


def converse(aws: Any, head: bytes) -> bytes:
    parts = urlsplit(aws.url)
    with socket.create_connection((parts.hostname, parts.port), timeout=30) as connection:
        answer = b""
        try:
            connection.sendall(head)
            while piece := connection.recv(65536):
                answer += piece
        except ConnectionError:
            pass
        return answer


@pytest.mark.parametrize(
    "head",
    [
        b"GET /_gtseg/health HTTP/1.1\r\nHost: x\r\na: " + b"b" * (HEAD_BYTES_MAXIMUM + 10) + b"\r\n\r\n",
        b"GET /_gtseg/health?" + b"q" * (HEAD_BYTES_MAXIMUM + 10) + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /_gtseg/health HTTP/1.1\r\nHost: x\r\n" + b"a:\r\n" * (HEAD_BYTES_MAXIMUM // 4),
    ],
    ids=["header", "address", "many headers"],
)
def test_a_request_head_that_is_too_long_is_answered_431(shared_aws: Any, head: bytes) -> None:
    assert converse(shared_aws, head).startswith(b"HTTP/1.1 431")


def test_a_request_head_within_the_limit_is_served(shared_aws: Any) -> None:
    head = (
        b"GET /_gtseg/health HTTP/1.1\r\nHost: x\r\nConnection: close\r\na: "
        + b"b" * (HEAD_BYTES_MAXIMUM - 200)
        + b"\r\n\r\n"
    )
    assert converse(shared_aws, head).startswith(b"HTTP/1.1 200")


HEAD_SECONDS, IDLE_SECONDS = 1.5, 1.5


@pytest.fixture(scope="module")
def impatient_aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAWS]:
    """A server with time limits of about a second."""
    options = {"head_seconds": HEAD_SECONDS, "idle_seconds": IDLE_SECONDS}
    server = LocalAWS(tmp_path_factory.mktemp("impatient") / "aws", options=options)
    server.client("s3").create_bucket(Bucket="slow")
    yield server
    server.stop()


def send_slowly(aws: LocalAWS, *pieces: bytes, pause: float) -> bytes:
    """Send the pieces with a pause after each; return the server's response until it closes the connection."""
    parts = urlsplit(aws.url)
    with socket.create_connection((parts.hostname, parts.port), timeout=30) as connection:
        answer = b""
        try:
            for piece in pieces:
                connection.sendall(piece)
                time.sleep(pause)
            while data := connection.recv(65536):
                answer += data
        except ConnectionError:
            pass
        return answer


def head_of_put(aws: LocalAWS, key: str, length: int) -> bytes:
    s3 = aws.client("s3", config=Config(signature_version="s3v4"))
    url = s3.generate_presigned_url("put_object", Params={"Bucket": "slow", "Key": key})
    parts = urlsplit(url)
    return (
        f"PUT {parts.path}?{parts.query} HTTP/1.1\r\nHost: {parts.netloc}\r\nContent-Length: {length}\r\n"
        "Connection: close\r\n\r\n"
    ).encode()


def keys_of(aws: LocalAWS) -> list[str]:
    return [entry["Key"] for entry in aws.client("s3").list_objects_v2(Bucket="slow").get("Contents", [])]


def test_an_endless_request_head_closes_the_connection(impatient_aws: LocalAWS) -> None:
    half = head_of_put(impatient_aws, "head", 3)[:60]
    assert send_slowly(impatient_aws, half, pause=0) == b""
    pieces = [bytes([letter]) for letter in half]
    assert send_slowly(impatient_aws, *pieces, pause=0.05) == b"", "an occasional byte does not extend the time limit"


@pytest.mark.parametrize("length", [10, 1 << 20], ids=["small", "large"])
def test_a_stalled_body_times_out_and_leaves_nothing(impatient_aws: LocalAWS, length: int) -> None:
    files = sum(path.is_file() for path in (impatient_aws.folder / "objects").rglob("*"))
    head = head_of_put(impatient_aws, "silent", length)
    answer = send_slowly(impatient_aws, head, b"x" * (length // 2), pause=0)
    assert answer.startswith(b"HTTP/1.1 400")
    assert b"<Code>RequestTimeout</Code>" in answer
    assert b"connection: close" in answer.lower()
    assert "silent" not in keys_of(impatient_aws)
    assert sum(path.is_file() for path in (impatient_aws.folder / "objects").rglob("*")) == files


def test_a_stalled_json_request_times_out(impatient_aws: LocalAWS) -> None:
    head = (
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 90\r\nX-Amz-Target: SageMaker.ListTags\r\n"
        b"Content-Type: application/x-amz-json-1.1\r\nConnection: close\r\n"
        b"X-Amz-Date: 20260101T000000Z\r\n"
        b"Authorization: AWS4-HMAC-SHA256 Credential=%s/20260101/us-east-1/sagemaker/aws4_request, "
        b"SignedHeaders=host, Signature=0\r\n\r\n"
    ) % impatient_aws.access_key.encode()
    answer = send_slowly(impatient_aws, head, b'{"Res', pause=0)
    assert answer.startswith(b"HTTP/1.1 400")
    assert b"RequestTimeout" in answer


def test_a_slow_but_continuous_sender_succeeds(impatient_aws: LocalAWS) -> None:
    """The request takes longer than either limit, without a pause that long."""
    head = head_of_put(impatient_aws, "slow", 8)
    answer = send_slowly(impatient_aws, head[:50], head[50:], *[b"x"] * 8, pause=0.25)
    assert answer.startswith(b"HTTP/1.1 200")
    assert keys_of(impatient_aws) == ["slow"]


# ---- all connections of a server


@dataclass(eq=False)
class Line:
    """A connection without a socket."""

    address: str
    rank: int = CLOSED
    aborted: bool = False

    def disconnect(self) -> None:
        self.aborted = True


def test_a_new_connection_closes_the_oldest_idle_unauthenticated_one_of_its_address() -> None:
    connections = Connections(total=100, per_address=3)
    lines: list[Any] = [Line("a") for _ in range(4)]
    assert all(connections.admit(line) for line in lines[:3])
    connections.place(lines[0], ANONYMOUS_BUSY)
    assert connections.admit(lines[3])
    assert [line.aborted for line in lines] == [False, True, False, False]
    assert connections.count == 3


def test_authenticated_busy_connections_are_kept_at_the_total_limit() -> None:
    connections = Connections(total=4, per_address=3)
    workers: list[Any] = [Line("a") for _ in range(3)]
    for line in workers:
        assert connections.admit(line)
        connections.place(line, AUTHENTICATED_BUSY)
    stranger, other, third = (Line(address) for address in "bcd")
    assert connections.admit(stranger)  # type: ignore[arg-type]
    assert not connections.admit(other), "everybody is busy"  # type: ignore[arg-type]
    connections.place(workers[0], AUTHENTICATED_IDLE)
    assert connections.admit(third)  # type: ignore[arg-type]
    assert [line.aborted for line in (*workers, stranger)] == [True, False, False, False]
    for line in (*workers[1:], stranger, third):
        connections.place(line, CLOSED)
    assert (connections.count, connections.addresses) == (0, {})


class RecordedTransport:
    """A transport that records its writes and calls in order."""

    def __init__(self) -> None:
        self.writes: list[bytes] = []

    def write(self, data: bytes) -> None:
        self.writes.append(data)

    def writelines(self, pieces: tuple[bytes, ...]) -> None:
        self.writes.append(b"".join(pieces))

    def is_closing(self) -> bool:
        return b"closed" in self.writes

    def close(self) -> None:
        self.writes.append(b"closed")

    def abort(self) -> None:
        self.writes.append(b"aborted")


@pytest.mark.parametrize(
    ("calls", "written"),
    [
        ([b"head", b"body"], [b"headbody"]),
        ([b"head", b""], [b"head"]),
        ([b"head", None, b"body"], [b"head", b"body"]),
        ([b"head", b"x" * 100_000], [b"head" + b"x" * 100_000]),
        ([b"x" * 100_000, b"y"], [b"x" * 100_000, b"y"]),
        ([b"head", "close"], [b"head", b"closed"]),
        ([b"head", "abort"], [b"aborted"]),
    ],
)
def test_head_and_body_of_a_response_are_written_together(calls: list[Any], written: list[bytes]) -> None:
    recorded = RecordedTransport()

    async def write_all() -> None:
        joined = JoinedWrites(recorded, asyncio.get_running_loop())  # type: ignore[arg-type]
        for call in calls:
            if call is None:
                await asyncio.sleep(0)
            elif isinstance(call, str):
                getattr(joined, call)()
            else:
                joined.write(call)
        await asyncio.sleep(0)

    asyncio.run(write_all())
    assert recorded.writes == written
