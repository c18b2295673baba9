"""Damaged responses: truncated or malformed ones are requested again; bytes of objects are not examined."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from gtseg.aws.clients import Clients
from gtseg.aws.damage import is_damaged
from gtseg.aws.groundtruth import GroundTruth
from gtseg.errors import AWSError

XML, JSON = {"content-type": "application/xml"}, {"content-type": "application/x-amz-json-1.1"}


NAMED = JSON | {"x-amzn-errortype": "ResourceNotFound"}


@pytest.mark.parametrize(
    ("status", "body", "headers", "expected"),
    [
        (200, b"<a><b>1</b></a>", XML, False),
        (200, b"<a><b>1</b>", XML, True),
        (200, b"<a><b>1</c></a>", XML, True),
        (204, b"", XML, False),
        (404, b"<Error><Code>NoSuchKey</Code></Error>", XML, False),
        (400, b'<E xmlns="https://sts"><Error><Code>InvalidAction</Code></Error></E>', XML, False),
        (404, b"<Error><C0de>NoSuchKey</C0de></Error>", XML, True),
        (404, b"<Error><Code>NoSuch^Key</Code></Error>", XML, True),
        (200, b'{"a": 1}', JSON, False),
        (200, b'{"a": 1', JSON, True),
        (400, b'{"__type": "x#ResourceNotFound"}', JSON, False),
        (400, b'{"__type": "ResourceNotFound"}', NAMED, False),
        (400, b'{"__type": "Res/urceNotFound"}', NAMED, True),
        (400, b'{"__t+pe": "ResourceNotFound"}', JSON, True),
        (400, b'{"message": "of a REST service"}', {"content-type": "application/json"}, False),
        (200, b"abc", {"content-length": "3"}, False),
        (200, b"ab", {"content-length": "3"}, True),
        (200, b"unpacked", {"content-length": "3", "content-encoding": "gzip"}, False),
        (502, b"<html>Bad Gateway", {"content-type": "text/html"}, False),
    ],
)
def test_a_short_or_malformed_response_or_an_error_without_a_code_is_damaged(
    status: int, body: bytes, headers: dict[str, str], expected: bool
) -> None:
    assert is_damaged(status, body, headers) == expected


class ScriptedServer:
    """Sends scripted responses, the last one repeatedly: (status, content type, body, Content-Length)."""

    def __init__(self) -> None:
        self.script: list[tuple[int, str, bytes, int]] = []
        self.asked = 0

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        handler.rfile.read(int(handler.headers.get("content-length") or 0))
        self.asked += 1
        status, kind, body, length = self.script.pop(0) if len(self.script) > 1 else self.script[0]
        handler.send_response(status)
        handler.send_header("content-type", kind)
        handler.send_header("content-length", str(length))
        handler.end_headers()
        handler.wfile.write(body)
        handler.close_connection = len(body) != length


@pytest.fixture
def liar(monkeypatch: pytest.MonkeyPatch) -> Iterator[ScriptedServer]:
    liar = ScriptedServer()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            liar.answer(self)

        do_GET = do_POST

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    for name, value in {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{server.server_port}",
        "AWS_ACCESS_KEY_ID": "a",
        "AWS_SECRET_ACCESS_KEY": "b",
        "AWS_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    yield liar
    server.shutdown()
    server.server_close()


IDENTITY = (
    b'<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><GetCallerIdentityResult>'
    b"<Arn>arn:aws:iam::123456789012:user/a</Arn><UserId>a</UserId><Account>123456789012</Account>"
    b"</GetCallerIdentityResult></GetCallerIdentityResponse>"
)


def whole(body: bytes, kind: str = "text/xml", status: int = 200) -> tuple[int, str, bytes, int]:
    return status, kind, body, len(body)


def test_a_truncated_or_altered_query_response_is_requested_again(liar: ScriptedServer) -> None:
    cut = (200, "text/xml", IDENTITY[:150], len(IDENTITY))
    altered = whole(IDENTITY.replace(b"<Account>123", b"<Account>1g3"))
    liar.script = [cut, whole(IDENTITY.replace(b"</Arn>", b"<zArn>")), altered, whole(IDENTITY)]
    assert Clients().account == "123456789012"
    assert liar.asked == 4


def test_a_caller_identity_that_stays_damaged_is_an_error(liar: ScriptedServer) -> None:
    liar.script = [whole(IDENTITY.replace(b"123456789012", b"1g3456789012"))]
    with pytest.raises(AWSError, match=r"1g3456789012.* is not a 12-digit account ID"):
        _ = Clients().account


def test_an_altered_error_response_is_not_reduced_to_its_status(liar: ScriptedServer) -> None:
    """A 404 of S3 with a damaged body would have the code "404" instead of NoSuchCORSConfiguration."""
    missing = b"<Error><Code>NoSuchCORSConfiguration</Code><Message>m</Message></Error>"
    broken = whole(missing.replace(b"</Code>", b"z/Code>"), "application/xml", 404)
    liar.script = [broken, whole(missing, "application/xml", 404)]
    with pytest.raises(Exception, match="NoSuchCORSConfiguration"):
        Clients().s3.get_bucket_cors(Bucket="b")
    assert liar.asked == 2


def test_an_altered_json_response_is_requested_again(liar: ScriptedServer) -> None:
    good = b'{"LabelingJobSummaryList": []}'
    kind = "application/x-amz-json-1.1"
    liar.script = [whole(good[:-1] + b"(", kind), (200, kind, good[:9], len(good)), whole(good, kind)]
    assert Clients().sagemaker.list_labeling_jobs()["LabelingJobSummaryList"] == []
    assert liar.asked == 3


def test_the_bytes_of_an_object_are_not_examined(liar: ScriptedServer) -> None:
    liar.script = [whole(b"{ no json", "application/json")]
    assert Clients().s3.get_object(Bucket="b", Key="k")["Body"].read() == b"{ no json"
    assert liar.asked == 1


@pytest.mark.parametrize("attempts", ["1", "2", "5"])
def test_an_unreachable_server_is_given_up_soon_whatever_boto3_is_configured_to_retry(
    monkeypatch: pytest.MonkeyPatch, attempts: str
) -> None:
    for name, value in (("ACCESS_KEY_ID", "x"), ("SECRET_ACCESS_KEY", "x"), ("MAX_ATTEMPTS", attempts)):
        monkeypatch.setenv(f"AWS_{name}", value)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    waits: list[float] = []
    with pytest.raises(AWSError, match="Is the address reachable") as caught:
        list(GroundTruth(Clients(region="us-east-1"), sleep=waits.append).list_jobs())
    assert caught.value.is_final
    assert len(waits) < 3
