"""Invalid requests to the real server over a socket: they return AWS's error, never 500, and the server stays up."""

from __future__ import annotations

import json
import re
import socket
import urllib.request
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import pytest
from botocore.auth import S3SigV4Auth, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

JSON = {"Content-Type": "application/x-amz-json-1.1"}


def signed(
    aws: Any,
    service: str,
    path: str = "/",
    *,
    body: bytes = b"",
    method: str = "POST",
    secret: str = "",
    headers: dict[str, str] | None = None,
    region: str = "us-east-1",
    key: str = "",
) -> dict[str, str]:
    request = AWSRequest(method, aws.url + path, headers=headers or {}, data=body)
    kind = S3SigV4Auth if service == "s3" else SigV4Auth
    kind(Credentials(key or aws.access_key, secret or aws.secret_key), service, region).add_auth(request)
    return dict(request.headers.items())


def send(aws: Any, method: str, path: str, headers: dict[str, str], body: bytes = b"") -> tuple[int, str]:
    """Send a request over a socket and return (status, response); (0, "") if the server closes the connection."""
    parts = urlsplit(aws.url)
    own = {"Host": parts.netloc, "Content-Length": str(len(body)), "Connection": "close"} | headers
    head = f"{method} {path} HTTP/1.1\r\n" + "".join(f"{k}: {v}\r\n" for k, v in own.items()) + "\r\n"
    with socket.create_connection((parts.hostname, parts.port), timeout=30) as connection:
        return exchange(connection, head.encode("latin-1") + body)


def exchange(connection: socket.socket, request: bytes) -> tuple[int, str]:
    answer = b""
    try:
        connection.sendall(request)
        while piece := connection.recv(65536):
            answer += piece
    except (ConnectionError, TimeoutError):
        pass
    found = re.match(rb"HTTP/1\.1 (\d+)", answer)
    return (int(found[1]) if found else 0), answer.decode("utf-8", "replace")


def call(aws: Any, target: str, body: bytes, **more: Any) -> tuple[int, str]:
    """Send a signed request of SageMaker's JSON protocol."""
    headers = JSON | {"X-Amz-Target": target}
    return send(aws, "POST", "/", signed(aws, "sagemaker", body=body, headers=headers, **more), body)


LIST = "SageMaker.ListLabelingJobs"
Case = tuple[Callable[[Any], tuple[int, str]], tuple[int, ...], str]
CALLS: dict[str, Case] = {
    "truncated JSON": (lambda a: call(a, LIST, b'{"MaxResults":'), (400,), "SerializationException"),
    "a JSON array": (lambda a: call(a, LIST, b"[1,2]"), (400,), "SerializationException"),
    "JSON nested 200,000 levels deep": (lambda a: call(a, LIST, b"[" * 200_000), (400,), "SerializationException"),
    "bytes that are no JSON": (lambda a: call(a, LIST, b"\xff\xfe\x00"), (400,), "SerializationException"),
    "a number beyond the range of a float": (lambda a: call(a, LIST, b'{"MaxResults":1e999}'), (400,), "Exception"),
    "a number of a million digits": (lambda a: call(a, LIST, b'{"MaxResults":' + b"9" * 1_000_000 + b"}"), (400,),
    "Exception"),
    "a repeated key": (lambda a: call(a, LIST, b'{"MaxResults":5,"MaxResults":"x"}'), (400,), "SerializationException"),
    "no body": (lambda a: call(a, "SageMaker.DescribeLabelingJob", b""), (400,), "ValidationException"),
    "half a surrogate": (lambda a: call(a, LIST, b'{"NameContains":"\\ud800"}'), (400,), "Exception"),
    "a name with a path": (
        lambda a: call(a, "SageMaker.DescribeLabelingJob", b'{"LabelingJobName":"../../etc/passwd"}'), (400,),
        "ValidationException",
    ),
    "a name with SQL": (
        lambda a: call(a, "SageMaker.DescribeLabelingJob", b'{"LabelingJobName":"x\' OR 1=1 --"}'), (400,),
        "ValidationException",
    ),
    "a token of another list": (lambda a: call(a, LIST, b'{"NextToken":"bm9uc2Vuc2U="}'), (400,),
    "ValidationException"),
    "an unknown operation": (lambda a: call(a, "SageMaker.MakeCoffee", b"{}"), (400,),
    "UnknownOperationException"),
    "an unsupported operation": (lambda a: call(a, "SageMaker.CreateDomain", b"{}"), (400,),
    "UnknownOperationException"),
    "no operation": (lambda a: call(a, "", b"{}"), (400,), "UnknownOperationException"),
    "an operation with control characters": (lambda a: call(a, "SageMaker.\x01\x02", b"{}"), (0, 400, 403), ""),
    "a wrong secret": (lambda a: call(a, LIST, b"{}", secret="wrong"), (403,), "InvalidSignatureException"),
    "an unknown access key": (lambda a: call(a, LIST, b"{}", key="AKIANOBODY"), (403,), "UnrecognizedClientException"),
    "no signature": (lambda a: send(a, "POST", "/", JSON | {"X-Amz-Target": LIST}, b"{}"), (400, 403, 405), ""),
    "a body that was not signed": (
        lambda a: send(a, "POST", "/", signed(a, "sagemaker", body=b"{}", headers=JSON | {"X-Amz-Target": LIST}),
        b'{"MaxResults":1}'),
        (403,), "InvalidSignatureException",
    ),
    "a signature of last year": (
        lambda a: send(a, "POST", "/", signed(a, "sagemaker", body=b"{}", headers=JSON | {"X-Amz-Target": LIST})
        | {"X-Amz-Date": "20251120T000000Z"}, b"{}"),
        (403,), "Exception",
    ),
    "half an authorization": (
        lambda a: send(a, "POST", "/", JSON | {"X-Amz-Target": LIST,
        "Authorization": "AWS4-HMAC-SHA256 Credential=a/b/c/sagemaker/aws4_request"}, b"{}"),
        (400, 403), "",
    ),
    "a body of 40 MB": (
        lambda a: send(a, "POST", "/", signed(a, "sagemaker", headers=JSON | {"X-Amz-Target": LIST})
        | {"Content-Length": str(40 << 20)}, b"{" * 1000),
        (413,), "RequestEntityTooLarge",
    ),
    "a missing endpoint": (
        lambda a: send(a, "POST", "/endpoints/ghost/invocations",
        signed(a, "sagemaker", "/endpoints/ghost/invocations", body=b"x"), b"x"),
        (400, 404), "",
    ),
    "an endpoint name with parent folders": (
        lambda a: send(a, "POST", "/endpoints/..%2f..%2fx/invocations",
        signed(a, "sagemaker", "/endpoints/..%2f..%2fx/invocations", body=b"x"), b"x"),
        (400, 403, 404), "",
    ),
    "a service that does not exist": (
        lambda a: send(a, "POST", "/", signed(a, "coffee", body=b"{}", headers=JSON), b"{}"), (400, 403, 404, 501), "",
    ),
}  # fmt: skip
STORAGE: dict[str, Case] = {
    "a bucket name with dots": (lambda a: s3(a, "PUT", "/../etc"), (400, 403, 404, 409), "<Code>"),
    "a bucket name in capitals": (lambda a: s3(a, "PUT", "/NoWay"), (400,), "InvalidBucketName"),
    "a key with parent folders": (lambda a: s3(a, "GET", "/nowhere/..%2f..%2f..%2fetc%2fpasswd"), (403, 404), "<Code>"),
    "a key of 2,000 bytes": (lambda a: s3(a, "PUT", f"/BUCKET/{'k' * 2000}"), (400, 404), "<Code>"),
    "a wrong checksum": (lambda a: s3(a, "PUT", "/BUCKET/k", b"x", {"Content-MD5": "AAAAAAAAAAAAAAAAAAAAAA=="}),
    (400,), "BadDigest"),
    "an invalid checksum": (lambda a: s3(a, "PUT", "/BUCKET/k", b"x", {"Content-MD5": "?"}), (400,),
    "InvalidDigest"),
    "truncated XML": (lambda a: s3(a, "POST", "/BUCKET?delete=", b"<Delete><Object>"), (400,), "MalformedXML"),
    "XML with entities": (
        lambda a: s3(a, "POST", "/BUCKET?delete=", (
            b'<!DOCTYPE x [<!ENTITY a SYSTEM '
            b'"file:///etc/passwd">]><Delete><Object><Key>&a;</Key></Object></Delete>'
        )),
        (400,), "MalformedXML",
    ),
    "an invalid range": (lambda a: s3(a, "GET", "/BUCKET/there", b"", {"Range": "bytes=9-2"}), (200, 206, 416), ""),
    "a list of -1 keys": (lambda a: s3(a, "GET", "/BUCKET?list-type=2&max-keys=-1"), (400,), "InvalidArgument"),
    "a part of a missing upload": (lambda a: s3(a, "PUT", "/BUCKET/k?partNumber=1&uploadId=ghost", b"x"),
    (404,), "NoSuchUpload"),
    "a negative content length": (lambda a: s3(a, "PUT", "/BUCKET/k", b"x", {"Content-Length": "-5"}), (0, 400), ""),
    "a wrong secret": (
        lambda a: send(a, "GET", "/BUCKET", signed(a, "s3", "/BUCKET", method="GET", secret="wrong")), (403,),
        "SignatureDoesNotMatch",
    ),
    "no credentials": (lambda a: send(a, "GET", "/", {}), (403,), "AccessDenied"),
}  # fmt: skip


def s3(aws: Any, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None) -> tuple[int, str]:
    path = path.replace("BUCKET", "corpus-requests")
    return send(aws, method, path, signed(aws, "s3", path, body=body, method=method, headers=headers), body)


@pytest.fixture(scope="module")
def aws(shared_aws: Any) -> Any:
    client = shared_aws.client("s3")
    client.create_bucket(Bucket="corpus-requests")
    client.put_object(Bucket="corpus-requests", Key="there", Body=b"here")
    return shared_aws


@pytest.mark.parametrize("name", [*CALLS, *(f"s3: {name}" for name in STORAGE)])
def test_an_invalid_request_returns_its_error_and_the_server_stays_up(aws: Any, name: str) -> None:
    send_case, statuses, words = STORAGE[name[4:]] if name.startswith("s3: ") else CALLS[name]
    before = aws.log.stat().st_size
    status, answer = send_case(aws)
    assert status in statuses, answer[:600]
    assert words in answer
    assert "Traceback" not in answer
    assert 'File "' not in answer
    with aws.log.open() as log:
        log.seek(before)
        assert "Traceback" not in log.read()
    assert aws.client("s3").get_object(Bucket="corpus-requests", Key="there")["Body"].read() == b"here"


def test_rejected_requests_leave_nothing_in_the_bucket(aws: Any) -> None:
    listed = aws.client("s3").list_objects_v2(Bucket="corpus-requests")
    assert [entry["Key"] for entry in listed["Contents"]] == ["there"]


@pytest.mark.parametrize(
    "raw",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"\0" * 4096,
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nZZZ\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\n" + b"a: b\r\n" * 20_000,
    ],
    ids=["TLS", "no path", "HTTP 9.9", "NULs", "chunk of ZZZ bytes", "20,000 headers"],
)
def test_bytes_that_are_no_http_request_are_rejected(aws: Any, raw: bytes) -> None:
    parts = urlsplit(aws.url)
    with socket.create_connection((parts.hostname, parts.port), timeout=40) as connection:
        connection.sendall(raw[:-1])
        connection.shutdown(socket.SHUT_WR) if raw[0] == 0x16 else None
        status, _ = exchange(connection, raw[-1:])
    assert status in (0, 400, 403, 431, 505)
    with urllib.request.urlopen(f"{aws.url}/_gtseg/health", timeout=20) as answer:
        assert json.load(answer)["status"] == "ok"


def test_forty_slow_clients_do_not_delay_another_request(aws: Any) -> None:
    """Each has sent half of the headers, or the headers without the body."""
    parts = urlsplit(aws.url)
    half = [
        b"POST / HTTP/1.1\r\nHost: x\r\nX-Slow: ",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n"
        + b"".join(
            f"{k}: {v}\r\n".encode()
            for k, v in signed(aws, "sagemaker", body=b"{}", headers=JSON | {"X-Amz-Target": LIST}).items()
            if k.lower() != "content-length"
        )
        + b"\r\n{",
    ]
    slow = [socket.create_connection((parts.hostname, parts.port), timeout=20) for _ in range(40)]
    try:
        for number, connection in enumerate(slow):
            connection.sendall(half[number % 2])
        assert call(aws, LIST, b"{}")[0] == 200
        for connection in slow:
            connection.setblocking(False)
            with pytest.raises(BlockingIOError):  # the connection is open: the response came before its time limit
                connection.recv(1)
    finally:
        for connection in slow:
            connection.close()
