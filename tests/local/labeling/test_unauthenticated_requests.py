"""Limits on unauthenticated requests to a server with 1,024 open files, while workers continue."""

from __future__ import annotations

import contextlib
import json
import resource
import socket
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from labeling_fixture import Api, Labeling, draw_answer, square
from local_aws import LocalAWS

FILES = 1024


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAWS]:
    """A server with a limit of 1,024 open files, as `ulimit -n 1024` gives it."""
    aws = LocalAWS(tmp_path_factory.mktemp("strangers") / "aws", open_files=FILES)
    yield aws
    aws.stop()


@pytest.fixture(scope="module")
def labeling(server: LocalAWS) -> Labeling:
    return Labeling(server)


def memory(aws: LocalAWS) -> int:
    """The server's resident memory in MiB."""
    return psutil.Process(aws.pid).memory_info().rss >> 20


def connect(aws: LocalAWS) -> socket.socket:
    parts = urlsplit(aws.url)
    return socket.create_connection((parts.hostname, parts.port), timeout=30)


def work_goes_on(labeling: Labeling, worker: Api, job: str) -> bool:
    task = labeling.lease(worker, job)
    answer = {"answer": draw_answer(square(), task["labels"])}
    return worker("POST", f"/tasks/{task['task']}/answer", answer) == (200, {"state": "answered"})


def test_1200_idle_connections_do_not_block_a_submission(labeling: Labeling, server: LocalAWS) -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(4096, before[1]), before[1]))
    job, worker = labeling.create(2), labeling.hire()
    with contextlib.ExitStack() as stack:
        for number in range(1200):
            connection = stack.enter_context(connect(server))
            if number % 2:
                connection.sendall(b"POST /_portal/api/session HTTP/1.1\r\nHost: ")
        assert work_goes_on(labeling, worker, job)
        assert psutil.Process(server.pid).num_fds() < FILES
    assert work_goes_on(labeling, worker, job)


def send_unsigned(aws: LocalAWS, secret: str, size: int) -> int:
    """The status of a signed call with a body of `size` bytes."""
    body = b"{" + b" " * (size - 2) + b"}"
    headers = {"X-Amz-Target": "SageMaker.ListTags", "Content-Type": "application/x-amz-json-1.1"}
    request = AWSRequest("POST", aws.url, headers=headers, data=body)
    SigV4Auth(Credentials(aws.access_key, secret), "sagemaker", "us-east-1").add_auth(request)
    try:
        with urllib.request.urlopen(
            urllib.request.Request(aws.url, body, dict(request.headers.items())), timeout=60
        ) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def test_15_bodies_of_31_megabytes_with_a_wrong_key_use_little_memory(server: LocalAWS) -> None:
    before = memory(server)
    found: list[int] = []
    threads = [
        threading.Thread(target=lambda: found.append(send_unsigned(server, "wrong", 31_000_000))) for _ in range(15)
    ]
    for thread in threads:
        thread.start()
    peak = 0
    for thread in threads:
        while thread.is_alive():
            peak = max(peak, memory(server))
            thread.join(0.02)
    assert set(found) <= {403, 503}, found
    assert 403 in found
    assert peak - before < 100, f"{peak - before} MiB more"
    assert (
        send_unsigned(server, server.secret_key, 300_000) == 400
    )  # a known sender's is read, and refused for what it says


def test_a_sign_in_of_700_megabytes_is_refused_unread(server: LocalAWS) -> None:
    before = memory(server)
    head = b"POST /_portal/api/session HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Gtseg-Portal: 1\r\nContent-Length: %d\r\n\r\n"
    with connect(server) as connection:
        connection.sendall(head % (700 << 20))
        with contextlib.suppress(OSError):
            for _ in range(700):
                connection.sendall(bytes(1 << 20))
        answer = b""
        with contextlib.suppress(OSError):
            answer = connection.recv(4096)
    assert answer in (b"",) or answer.startswith(b"HTTP/1.1 413")
    assert memory(server) - before < 50


def test_an_incomplete_unauthenticated_body_times_out_and_closes_the_connection(server: LocalAWS) -> None:
    head = (
        b"POST /_portal/api/tasks/x/answer HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Gtseg-Portal: 1\r\nContent-Length: "
        b"4000\r\n\r\n{"
    )
    answer = b""
    with connect(server) as connection:
        connection.sendall(head)
        while data := connection.recv(4096):
            answer += data
    assert answer.startswith(b"HTTP/1.1 401")


def test_refused_requests_are_not_logged(server: LocalAWS) -> None:
    log = server.folder / "calls.jsonl"
    before = log.stat().st_size
    for number in range(20):
        request = urllib.request.Request(f"{server.url}/bucket-{number}", method="PUT")
        with pytest.raises(urllib.error.HTTPError):
            urllib.request.urlopen(request, timeout=20)
        assert send_unsigned(server, "wrong", 100) == 403
    assert log.stat().st_size == before


def test_malformed_http_is_not_logged(server: LocalAWS) -> None:
    before = server.log.stat().st_size
    for words in (
        b"\x16\x03\x01",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: a\r\ncontent-length: -1\r\n\r\n",
    ):
        with connect(server) as connection:
            connection.sendall(words)
            connection.shutdown(socket.SHUT_WR)
            connection.recv(4096)
    upgrade = (
        b"GET /_gtseg/health HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: upgrade, close\r\nupgrade: websocket\r\n\r\n"
    )
    with connect(server) as connection:
        connection.sendall(upgrade)
        connection.recv(4096)
    assert server.log.stat().st_size == before


ODD = {
    "half a surrogate": ("POST", "/_portal/api/session", b'{"token": "\\ud800"}'),
    "deep JSON": ("POST", "/_portal/api/session", b'{"token":' + b"[" * 3000),
    "a long number": ("POST", "/_portal/api/session", b'{"token": ' + b"9" * 3900 + b"}"),
    "JSON with NUL": ("POST", "/_portal/api/session", b"\0"),
    "a number as a token": ("POST", "/_portal/api/session", b'{"token": 1e400}'),
    "a v2 link that expires late": ("GET", f"/b/k?AWSAccessKeyId=x&Signature=y&Expires={'9' * 5000}", b""),
    "a v4 link that expires late": (
        "GET",
        (
            f"/b/k?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=a/b/c/s3/d&X-Amz-SignedHeaders=host&"
            f"X-Amz-Date=x&X-Amz-Signature=y&X-Amz-Expires={'9' * 5000}"
        ),
        b"",
    ),
    "a form without parts": ("POST", "/bucket", b"--x"),
    "a part of no number": ("PUT", f"/b/k?partNumber={'9' * 5000}&uploadId=x", b""),
    "a list of too many": ("GET", f"/b?max-keys={'9' * 5000}", b""),
    "a key of NULs": ("GET", "/b/%00%00", b""),
    "a key that is no UTF-8": ("GET", "/b/%ff", b""),
    "a bucket that is no UTF-8": ("GET", "/%ff", b""),
    "a page of no number": ("GET", "/_portal/api/owner/jobs/x/objects/99999999999999999999999999/mask", b""),
    "another method": ("PROPFIND", "/b/k", b""),
    "options of everything": ("OPTIONS", "/", b""),
}
HEADS = [
    {}, {"Authorization": "AWS4-HMAC-SHA256 Credential=a/b/c/s3/d, SignedHeaders=host, Signature=0"},
    {"Authorization": "AWS4-HMAC-SHA256 Credential=a/b/c/sagemaker/d, SignedHeaders=host, Signature=0",
    "X-Amz-Date": "2026"},
    {"Authorization": "AWS \udcff:x"}, {"Cookie": "\udcff=\udcff; a"}, {"Authorization": "Bearer \udcff"},
    {"Content-Type": "multipart/form-data; boundary=x"}, {"Content-Type": "multipart/form-data"},
    {"Range": f"bytes={'9' * 5000}-"}, {"If-Modified-Since": "\udcff"},
    {"Origin": "http://[", "Access-Control-Request-Method": "GET"},
    {"Content-MD5": "\udcff"}, {"x-amz-content-sha256": "\udcff"}, {"Transfer-Encoding": "chunked"},
    {"X-Amz-Date": "99999999T999999Z", "Authorization":
    "AWS4-HMAC-SHA256 Credential=a/99999999/c/s3/d, SignedHeaders=host;x-amz-date, Signature=0"},
]  # fmt: skip


@pytest.mark.parametrize("name", ODD)
def test_a_malformed_unauthenticated_request_is_answered_4xx(server: LocalAWS, name: str) -> None:
    method, path, body = ODD[name]
    for more in HEADS:
        given = {"Host": "127.0.0.1", "X-Gtseg-Portal": "1", "Connection": "close", **more}
        if "Transfer-Encoding" not in more:
            given["Content-Length"] = str(len(body))
        else:
            body = b"0\r\n\r\n"
        head = f"{method} {path} HTTP/1.1\r\n" + "".join(f"{k}: {v}\r\n" for k, v in given.items()) + "\r\n"
        answer = b""
        with connect(server) as connection, contextlib.suppress(ConnectionError):
            connection.sendall(head.encode("latin-1", "surrogateescape") + body)
            while data := connection.recv(65536):
                answer += data
        status = int(answer[9:12] or b"400")
        assert 300 <= status < 500 or status == 501 or (method == "OPTIONS" and status == 200), (more, answer)
        assert "Traceback" not in server.log.read_text(), more


def ask(url: str, headers: dict[str, str], body: bytes | None = None) -> tuple[int, Any]:
    request = urllib.request.Request(url, body, headers)
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.status, answer.headers
    except urllib.error.HTTPError as error:
        return error.code, error.headers


@pytest.mark.parametrize("path", ["/_portal/signin", "/_portal/static/task.js", "/_gtseg/faults", "/bucket/key"])
def test_an_unknown_host_name_is_refused_against_dns_rebinding(server: LocalAWS, path: str) -> None:
    assert ask(server.url + path, {"Host": f"evil.example:{server.port}"})[0] == 421
    assert ask(server.url + path, {"Host": f"localhost:{server.port}"})[0] != 421
    assert ask(f"{server.url}/_gtseg/health", {"Host": "evil.example"})[0] == 200


def test_x_forwarded_for_does_not_change_rate_limits(server: LocalAWS) -> None:
    statuses = [
        ask(
            f"{server.url}/_portal/api/session",
            {"X-Gtseg-Portal": "1", "X-Forwarded-For": f"10.0.0.{number}"},
            json.dumps({"token": "wrong"}).encode(),
        )[0]
        for number in range(11)
    ]
    assert statuses == [403] * 10 + [429]


def test_x_forwarded_for_of_a_trusted_proxy_is_used(tmp_path: Path) -> None:
    options = {"trusted_proxies": ["127.0.0.1"], "names": ["label.example"]}
    aws = LocalAWS(tmp_path / "aws", options=options)
    try:
        statuses = [
            ask(
                f"{aws.url}/_portal/api/session",
                {"X-Gtseg-Portal": "1", "X-Forwarded-For": f"10.0.0.{number}", "Host": "label.example"},
                json.dumps({"token": "wrong"}).encode(),
            )[0]
            for number in range(12)
        ]
        assert statuses == [403] * 12
    finally:
        aws.stop()
