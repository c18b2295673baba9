"""Bulk data plane of S3 against the embedded AWS, and against a server with faulty responses."""

from __future__ import annotations

import hashlib
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from gtseg.aws.clients import Clients
from gtseg.aws.s3 import S3, Bulk, FileBody, connections, list_folder, list_pages, work_through
from gtseg.aws.s3 import bulk as bulk_module
from gtseg.errors import AWSError

KEYS = [
    "a b",
    "a+b",
    "ü/日本.jpg",
    "per%20cent",
    "a//b",
    "x?y=1&z",
    "'\"<>&;:@,$=",
    "~-._!*()",
    "a/../b",
    "x" * 900,
]


@pytest.fixture
def clients(shared_aws: Any, monkeypatch: pytest.MonkeyPatch) -> Clients:
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    for name, value in shared_aws.environment.items():
        if name.startswith("AWS_"):
            monkeypatch.setenv(name, value)
    return Clients()


@pytest.fixture
def bucket(clients: Clients, request: pytest.FixtureRequest) -> str:
    name = "bulk-" + hashlib.md5(request.node.nodeid.encode()).hexdigest()[:12]
    S3(clients).ensure_bucket(name)
    return name


@pytest.mark.parametrize("key", KEYS)
def test_any_key_is_written_read_copied_and_listed(clients: Clients, bucket: str, key: str) -> None:
    uri, copied = f"s3://{bucket}/{key}", f"s3://{bucket}/copied/{key}"
    with Bulk(clients) as bulk:
        etag = bulk.put(uri, b"hello", content_type="text/plain")
        assert bulk.get(uri).body == b"hello"
        assert bulk.get(uri, span=(1, 3)) == bulk_module.Fetched(b"el", etag, 5, etag)
        assert bulk.copy(uri, copied, if_match=etag) == etag
        assert [item.key for page in list_pages(bulk, f"s3://{bucket}/copied/") for item in page] == [f"copied/{key}"]
        bulk.delete(copied)
        assert clients.s3.get_object(Bucket=bucket, Key=key)["Body"].read() == b"hello"
        assert bulk.retries == 0


def test_listings_equal_those_of_boto3(clients: Clients, bucket: str) -> None:
    with Bulk(clients) as bulk:
        uris = [f"s3://{bucket}/{n % 7}/{n:05}" for n in range(1100)]
        for _ in work_through(uris, lambda uri: bulk.put(uri, b"x", content_type="a/b"), threads=8):
            pass
        ours = [item for page in list_pages(bulk, f"s3://{bucket}/") for item in page]
        pages = clients.s3.get_paginator("list_objects_v2").paginate(Bucket=bucket)
        theirs = [
            (c["Key"], c["Size"], c["ETag"].strip('"'), c["LastModified"]) for page in pages for c in page["Contents"]
        ]
        assert [tuple(item) for item in ours] == theirs
        after = [item.key for page in list_pages(bulk, f"s3://{bucket}/3/", start_after="3/00990") for item in page]
        assert after == [key for key, *_ in theirs if key.startswith("3/") and key > "3/00990"]
        files, folders = list_folder(bulk, f"s3://{bucket}/")
        assert (files, folders) == ([], [f"{n}/" for n in range(7)])


def test_refusals_have_the_error_codes_of_aws(clients: Clients, bucket: str) -> None:
    with Bulk(clients) as bulk:
        etag = bulk.put(f"s3://{bucket}/k", b"x", content_type="a/b")
        refused: list[tuple[str, Callable[[], object]]] = [
            ("NoSuchKey", lambda: bulk.get(f"s3://{bucket}/none")),
            ("NoSuchBucket", lambda: bulk.get(f"s3://{bucket}-none/none")),
            ("PreconditionFailed", lambda: bulk.get(f"s3://{bucket}/k", if_match="0" * 32)),
            (
                "PreconditionFailed",
                lambda: bulk.copy(f"s3://{bucket}/k", f"s3://{bucket}/l", if_match="0" * 32),
            ),
        ]
        for code, call in refused:
            with pytest.raises(AWSError) as caught:
                call()
            assert caught.value.code == code
        assert bulk.copy(f"s3://{bucket}/k", f"s3://{bucket}/l", if_match=etag) == etag


def test_wrong_credentials_are_exit_code_4(clients: Clients, bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    with Bulk(Clients()) as bulk, pytest.raises(AWSError) as caught:
        bulk.get(f"s3://{bucket}/k")
    assert caught.value.exit_code == 4


def test_no_credentials_are_exit_code_4(clients: Clients, bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    with Bulk(Clients()) as bulk, pytest.raises(AWSError) as caught:
        bulk.get(f"s3://{bucket}/k")
    assert caught.value.exit_code == 4


# ---- a server that says what it is told to say


class FaultyServer:
    """Sends the next of `answers` for each request (bytes, or None: closes the connection)."""

    def __init__(self, answers: list[bytes | None]) -> None:
        self.answers, self.requests = list(answers), []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:  # the test has ended
                return
            threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection: socket.socket) -> None:
        with connection:
            while data := connection.recv(65536):
                self.requests.append(data)
                answer = self.answers.pop(0)
                if answer is None:
                    return
                connection.sendall(answer)
                if b"connection: close" in answer:
                    return

    def close(self) -> None:
        self._listener.close()


@pytest.fixture
def lie(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., tuple[Bulk, FaultyServer]]]:
    monkeypatch.setattr(bulk_module, "BACKOFF_SECONDS", 0.0)
    liars: list[FaultyServer] = []

    def start(*answers: bytes | None) -> tuple[Bulk, FaultyServer]:
        liar = FaultyServer(list(answers))
        liars.append(liar)
        for name, value in {
            "AWS_ENDPOINT_URL": liar.url,
            "AWS_ACCESS_KEY_ID": "a",
            "AWS_SECRET_ACCESS_KEY": "b",
        }.items():
            monkeypatch.setenv(name, value)
        return Bulk(Clients(region="us-east-1")), liar

    yield start
    for liar in liars:
        liar.close()


def answer(body: bytes = b"hello", status: int = 200, length: int | None = None, **headers: str) -> bytes:
    fields = {
        "content-length": str(len(body) if length is None else length),
        **{k.replace("_", "-"): v for k, v in headers.items()},
    }
    if length is not None:
        fields["connection"] = "close"
    return (
        f"HTTP/1.1 {status} X\r\n".encode()
        + b"".join(f"{k}: {v}\r\n".encode() for k, v in fields.items())
        + b"\r\n"
        + body
    )


GOOD = answer(etag=f'"{hashlib.md5(b"hello").hexdigest()}"')
ERROR = b"<Error><Code>%s</Code><Message>m</Message></Error>"


@pytest.mark.parametrize(
    "bad",
    [
        None,
        answer(status=503, body=ERROR % b"SlowDown"),
        answer(status=500, body=ERROR % b"InternalError"),
        answer(status=502, body=b"<html>bad gateway"),
        answer(status=429, body=b""),
        answer(status=400, body=ERROR % b"RequestTimeout"),
        answer(status=404, body=ERROR % b"NoSuc\xb4Key"),
        answer(body=b"hel", length=5),
        answer(body=b"hexlo", etag=f'"{hashlib.md5(b"hello").hexdigest()}"'),
        answer(body=b"hello", x_amz_checksum_crc32="AAAAAA=="),
        b"nonsense\r\n\r\n",
    ],
)
def test_temporary_failures_are_retried(lie: Any, bad: bytes | None) -> None:
    bulk, liar = lie(bad, GOOD)
    assert bulk.get("s3://bucket/key").body == b"hello"
    assert (bulk.retries, len(liar.requests)) == (1, 2)


def test_a_connection_is_reused_by_the_next_request(lie: Any) -> None:
    bulk, liar = lie(GOOD, GOOD, GOOD)
    for _ in range(3):
        thread = threading.Thread(target=bulk.get, args=("s3://bucket/key",))
        thread.start()
        thread.join()
    assert (len(liar.requests), len(bulk._connections)) == (3, 1)


def test_headers_that_arrive_in_pieces_are_read_like_whole_ones(lie: Any) -> None:
    padded = answer(**{f"x_{n}": "x" * 20_000 for n in range(4)}, etag='"abc-1"')  # more than is buffered
    bulk, _ = lie(padded, answer(etag='"abc-1"'))
    assert bulk.get("s3://bucket/key") == bulk.get("s3://bucket/key")


def test_retrying_ends_after_a_limit(lie: Any) -> None:
    bulk, liar = lie(*[answer(status=503, body=ERROR % b"SlowDown")] * 30)
    with pytest.raises(AWSError, match="SlowDown"):
        bulk.get("s3://bucket/key")
    assert len(liar.requests) == bulk_module.ATTEMPTS


@pytest.mark.parametrize(
    "part",
    [
        b"",
        b"HTTP/1.1 200 OK\r\ncontent-le",
        answer(length=5, body=b"").replace(b"connection: close", b"x: y"),
        answer(length=5, body=b"hel").replace(b"connection: close", b"x: y"),
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhe",
        b"HTTP/1.1 200 OK\r\n\r\n",
    ],
)
def test_a_request_without_a_response_is_sent_again(lie: Any, monkeypatch: pytest.MonkeyPatch, part: bytes) -> None:
    monkeypatch.setattr(connections, "READ_SECONDS", 1)
    bulk, liar = lie(part, GOOD)
    assert bulk.get("s3://bucket/key").body == b"hello"
    assert (bulk.retries, len(liar.requests)) == (1, 2)


def test_an_error_in_the_body_of_a_copys_200_response_is_raised(lie: Any) -> None:
    done = answer(b"<CopyObjectResult><ETag>&quot;abc&quot;</ETag></CopyObjectResult>")
    bulk, liar = lie(answer(ERROR % b"InternalError"), done)
    assert bulk.copy("s3://bucket/a", "s3://bucket/b", if_match="abc") == "abc"
    assert len(liar.requests) == 2


def test_a_chunked_body_with_leading_spaces_is_read(lie: Any) -> None:
    body = b"\n   <CopyObjectResult><ETag>&quot;abc&quot;</ETag></CopyObjectResult>"
    chunks = b"2\r\n" + body[:2] + b"\r\n" + b"%x;ext=1\r\n" % len(body[2:]) + body[2:] + b"\r\n0\r\ntrailer: x\r\n\r\n"
    bulk, _ = lie(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + chunks)
    assert bulk.copy("s3://bucket/a", "s3://bucket/b", if_match="abc") == "abc"


def test_a_wrong_clock_is_corrected_from_the_response(lie: Any) -> None:
    skewed = answer(status=403, body=ERROR % b"RequestTimeTooSkewed", date="Fri, 01 Jan 2038 00:00:00 GMT")
    bulk, liar = lie(skewed, GOOD)
    bulk.get("s3://bucket/key")
    assert b"x-amz-date: 20380101T" in liar.requests[1]


def test_an_etag_that_is_not_an_md5_is_not_compared_with_the_bytes(lie: Any) -> None:
    kms = {"etag": '"' + "0" * 32 + '"', "x_amz_server_side_encryption": "aws:kms"}
    bulk, _ = lie(answer(**kms), answer(etag='"' + "0" * 32 + '-2"'))
    assert bulk.get("s3://bucket/key").md5 == ""
    assert bulk.get("s3://bucket/key").body == b"hello"
    assert bulk.retries == 0


def test_a_bucket_in_another_region_is_found(lie: Any) -> None:
    moved = answer(status=400, body=ERROR % b"AuthorizationHeaderMalformed", x_amz_bucket_region="eu-west-1")
    head = answer(b"", status=400, x_amz_bucket_region="eu-west-1")
    bulk, liar = lie(moved, head, answer(b""), GOOD)
    assert bulk.get("s3://bucket/key").body == b"hello"
    assert b"/eu-west-1/s3/" in liar.requests[-1]


def test_a_public_bucket_that_denies_the_callers_keys_is_read_unsigned(lie: Any) -> None:
    denied = answer(status=403, body=ERROR % b"AccessDenied")
    bulk, liar = lie(denied, GOOD, GOOD)
    assert bulk.get("s3://bucket/key").body == b"hello"
    assert b"authorization" in liar.requests[0].lower()
    assert b"authorization" not in liar.requests[1].lower()
    bulk.get("s3://bucket/other")
    assert b"authorization" not in liar.requests[2].lower()


def test_a_session_token_is_sent(lie: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SESSION_TOKEN", "the-token")
    bulk, liar = lie(GOOD)
    bulk.get("s3://bucket/key")
    assert b"x-amz-security-token: the-token\r\n" in liar.requests[0]


def test_a_request_through_a_proxy_uses_connect(lie: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    bulk, liar = lie(b"HTTP/1.1 200 Connected\r\n\r\n", GOOD)
    monkeypatch.setenv("HTTP_PROXY", liar.url.replace("http://", "http://me:p%40ss@"))
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://s3.example.test:1234")
    bulk = Bulk(Clients(region="us-east-1"))
    assert bulk.get("s3://bucket/key").body == b"hello"
    assert liar.requests[0].startswith(b"CONNECT ")
    assert b"Proxy-Authorization: Basic bWU6cEBzcw==" in liar.requests[0]
    assert b"GET /" in liar.requests[1]


def test_a_damaged_listing_is_requested_again(lie: Any) -> None:
    page = (
        b"<ListBucketResult><Contents><Key>a%20b</Key><LastModified>2026-11-20T10:00:00.000Z</LastModified>"
        b"<ETag>&quot;e&quot;</ETag><Size>5</Size></Contents></ListBucketResult>"
    )
    bulk, _ = lie(
        answer(page[:-5]),
        answer(page.replace(b"Size>5", b"Siz\xff>5")),
        answer(page.replace(b"5<", b"x<")),
        answer(page),
    )
    assert [item.key for items in list_pages(bulk, "s3://bucket/") for item in items] == ["a b"]
    assert bulk.retries == 3


def test_requests_to_aws_use_the_hosts_of_the_region() -> None:
    clients = Clients(region="eu-central-1")
    with pytest.MonkeyPatch.context() as patch:
        for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_PROFILE"):
            patch.delenv(name, raising=False)
        patch.setenv("AWS_ACCESS_KEY_ID", "a")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "b")
        endpoint = Bulk(clients)._routes.find("some-bucket").endpoint
    assert (endpoint.scheme, endpoint.host, endpoint.port) == (
        "https",
        "some-bucket.s3.eu-central-1.amazonaws.com",
        443,
    )
    assert (endpoint.base, endpoint.region, endpoint.host_header) == ("/", "eu-central-1", endpoint.host)


def test_the_first_error_stops_the_remaining_transfers() -> None:
    begun: list[int] = []
    fetched: list[int] = []

    def work(number: int) -> int:
        begun.append(number)
        if number == 5:
            raise ValueError("five")
        return number

    def read_until_it_fails() -> None:
        for _ in work_through(range(10_000), work, threads=4):
            fetched.append(len(begun))

    with pytest.raises(ValueError, match="five"):
        read_until_it_fails()
    assert len(begun) <= len(fetched) + 2 * 4 + 1


def test_a_folder_is_uploaded_once_with_results_in_order(clients: Clients, bucket: str, tmp_path: Path) -> None:
    names = [f"{n % 3}/{n:02}.txt" for n in range(40)]
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name * 50)
    (tmp_path / names[7]).write_text("x" * 100_000)
    files, told = [tmp_path / name for name in names], []
    first = S3(clients).upload_folder(tmp_path, f"s3://{bucket}/up/", files=files, progress=told.append)
    assert [item.uri for item in first] == [f"s3://{bucket}/up/{name}" for name in names]
    assert [item.path for item in first] == files
    assert sorted(told, key=lambda item: files.index(item.path)) == first
    (tmp_path / names[3]).write_text("changed")
    again = S3(clients).upload_folder(tmp_path, f"s3://{bucket}/up/", files=files)
    assert [item.sent for item in again] == [name == names[3] for name in names]
    assert S3(clients).read(again[3].uri)[0] == b"changed"


def test_a_body_in_a_file_is_sent_like_one_in_memory(clients: Clients, bucket: str, tmp_path: Path) -> None:
    body = bytes(range(256)) * 3000
    path = tmp_path / "body"
    path.write_bytes(body)
    with Bulk(clients) as bulk, path.open("rb") as file:
        etag = bulk.put(f"s3://{bucket}/from-file", FileBody(file), content_type="text/plain")
        assert etag == hashlib.md5(body).hexdigest()
        assert bulk.get(f"s3://{bucket}/from-file").body == body


def test_a_body_in_a_file_can_be_read_again_for_each_attempt(tmp_path: Path) -> None:
    content = bytes(range(256)) * 3000
    path = tmp_path / "body"
    path.write_bytes(content)
    with path.open("rb") as file:
        body = FileBody(file)
        assert b"".join(body) == b"".join(body) == content
        assert (len(body), body.sha256) == (len(content), hashlib.sha256(content).hexdigest())


def test_results_that_are_not_fetched_bound_the_work_in_progress() -> None:
    taken: list[int] = []

    def items() -> Iterator[int]:
        for number in range(1000):
            taken.append(number)
            yield number

    results = work_through(items(), lambda number: number, threads=4)
    next(results)
    assert len(taken) < 100
    assert len(list(results)) == 999
