"""Invalid responses of the S3 service of --s3: errors, and limits on memory, disk and time."""

from __future__ import annotations

import contextlib
import hashlib
import socket
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
from polling import wait_for

from gtseg.local.errors import ServiceError
from gtseg.local.storage.bucket import BucketObjects
from gtseg.local.storage.cache import Cache
from gtseg.local.storage.clients import ANSWER_BYTES, Limits
from gtseg.local.storage.connection import READERS, Connection
from gtseg.local.storage.objects import StorageUnavailable

TIME = "Mon, 30 Nov 2026 00:00:00 GMT"
OBJECT = {"ETag": f'"{hashlib.md5(b"data").hexdigest()}"', "Last-Modified": TIME, "Content-Length": "4"}
ENTRY = (
    "<Contents><Key>{}</Key><LastModified>2026-01-01T00:00:00Z</LastModified><ETag>x</ETag><Size>4</Size></Contents>"
)
OBJECTS = {
    "no time": OBJECT | {"Last-Modified": ""},
    "no such time": OBJECT | {"Last-Modified": "yesterday"},
    "a year beyond all": OBJECT | {"Last-Modified": "Mon, 30 Nov 99999 00:00:00 GMT"},
    "less than nothing": OBJECT | {"Content-Length": "-5"},
    "no number": OBJECT | {"Content-Length": "many"},
    "an etag that a terminal obeys": OBJECT | {"ETag": '"\x1b[2J"'},
}
LISTINGS = {
    "a page of a hotel": "<html>welcome</html>",
    "another prefix": "<IsTruncated>false</IsTruncated>" + ENTRY.format("../../etc/passwd"),
    "no etag": "<IsTruncated>false</IsTruncated><Contents><Key>no etag</Key></Contents>",
    "no next page": "<IsTruncated>true</IsTruncated>",
    "the same page": "<IsTruncated>true</IsTruncated><NextContinuationToken>t</NextContinuationToken>",
    "nested without end": "<a>" * 5000 + "</a>" * 5000,
}


class Hostile(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None: ...

    def do_GET(self) -> None:
        place = urlsplit(self.path)
        key = parse_qs(place.query).get("prefix", [unquote(place.path).partition("/b/")[2]])[0]
        if key in LISTINGS:
            self.reply(200, {}, f"<ListBucketResult>{LISTINGS[key]}</ListBucketResult>".encode())
        elif key.startswith("without end"):
            self.send_without_end(int(key[-3:]), OBJECT if key.endswith("200") else {})
        elif key == "byte by byte":
            self.drip()
        elif key == "a petabyte":
            self.reply(200, OBJECT | {"Content-Length": str(10**15)}, b"data")
        else:
            self.reply(200, OBJECTS[key], b"data")

    do_HEAD = do_GET

    def reply(self, status: int, headers: dict[str, str], body: bytes = b"") -> None:
        self.send_response(status)
        for name, value in ({"Content-Length": str(len(body))} | headers).items():
            if value:
                self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def drip(self) -> None:
        self.close_connection = True
        self.reply(200, OBJECT | {"Content-Length": "100000"})
        try:
            while self.command != "HEAD":
                self.wfile.write(b"d")
                self.dripping.wait(0.01)
        except OSError:  # whoever asked has hung up
            pass

    dripping = threading.Event()

    def send_without_end(self, status: int, headers: dict[str, str]) -> None:
        self.close_connection = True
        self.reply(status, {"Content-Length": "", "Transfer-Encoding": "chunked"} | headers)
        block = b"100000\r\n" + b" " * (1 << 20) + b"\r\n"
        try:
            while self.command != "HEAD":
                self.wfile.write(block)
        except OSError:  # whoever asked has hung up
            pass


@pytest.fixture(scope="module")
def service() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hostile)
    server.daemon_threads = True
    server.handle_error = lambda *_: None  # type: ignore[method-assign]
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture
def objects(service: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> BucketObjects:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setattr("gtseg.local.storage.clients.ATTEMPTS", 1)
    return BucketObjects(Connection(service), Cache(tmp_path / "cache", 1 << 30))


@pytest.mark.parametrize("key", OBJECTS)
def test_an_invalid_response_about_an_object_is_refused(objects: BucketObjects, key: str) -> None:
    calls: list[Callable[[], object]] = [lambda: objects.head("b", key), lambda: objects.get("b", key)]
    for call in calls:
        with pytest.raises(StorageUnavailable, match="the response is not that of an S3 service"):
            call()
        objects.connection._forget_refusal("")


@pytest.mark.parametrize("prefix", LISTINGS)
def test_an_invalid_or_endless_listing_is_refused(objects: BucketObjects, prefix: str) -> None:
    with pytest.raises(StorageUnavailable, match="the response is not that of an S3 service"):
        list(objects.list("b", prefix))


@pytest.mark.parametrize("status", [403, 500])
def test_an_endless_error_response_is_aborted(objects: BucketObjects, status: int) -> None:
    with pytest.raises(StorageUnavailable, match=f"larger than {ANSWER_BYTES} bytes"):
        objects.get("b", f"without end {status}")


def test_an_endless_listing_response_is_aborted(objects: BucketObjects) -> None:
    with pytest.raises(StorageUnavailable, match=f"larger than {ANSWER_BYTES} bytes"):
        list(objects.list("b", "without end 201"))


def test_a_body_longer_than_its_content_length_is_aborted(objects: BucketObjects) -> None:
    with pytest.raises(StorageUnavailable, match="more than its 4 bytes"):
        objects.get("b", "without end 200")


@pytest.mark.parametrize("reads", [lambda o: o.get("b", "byte by byte"), lambda o: list(o.list("b", "byte by byte"))])
def test_a_body_sent_byte_by_byte_times_out_and_releases_its_reader(
    service: str, objects: BucketObjects, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, reads: Any
) -> None:
    monkeypatch.setattr("gtseg.local.storage.connection.BODY_RATE", 1 << 20)
    slow = BucketObjects(Connection(service, limits=Limits(body_seconds=0.1)), Cache(tmp_path / "slow", 1 << 30))
    with pytest.raises(StorageUnavailable, match=r"arrived too slowly|took more than"):
        reads(slow)
    assert slow.connection._readers._value == READERS
    assert slow.cache.size == 0


@pytest.mark.parametrize("answered", ["head", "100 Continue", "after 100 Continue"])
def test_a_head_sent_byte_by_byte_times_out_and_releases_its_thread(
    objects: BucketObjects, tmp_path: Path, answered: str
) -> None:
    with drip_heads({"after 100 Continue": b"HTTP/1.1 100 Continue\r\n"}.get(answered, b"")) as url:
        limits = Limits(head_seconds=0.2, write_seconds=0)
        slow = BucketObjects(Connection(url, limits=limits), Cache(tmp_path / "slow", 1 << 30))
        with pytest.raises(StorageUnavailable, match=r"Read timeout|closed before"):
            slow.head("b", "k") if answered == "head" else slow.put("b", "k", b"x" * 1000)
        assert slow.connection._readers._value == READERS
        wait_for(lambda: not [thread for thread in threading.enumerate() if thread.name == "drip"])


@contextlib.contextmanager
def drip_heads(beginning: bytes) -> Iterator[str]:
    """A server that sends `beginning` and then a head without end, byte by byte."""
    ended = threading.Event()

    def drip(connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):  # whoever asked has hung up
            connection.sendall(beginning or b"HTTP/1.1 200 OK\r\n")
            while not ended.wait(0.01):
                connection.sendall(b"a")

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=drip, args=listener.accept()[:1], name="drip", daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=accept, daemon=True).start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        ended.set()


def test_the_number_of_concurrent_reads_is_limited(objects: BucketObjects, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gtseg.local.storage.connection.TURN_SECONDS", 0.01)
    with contextlib.ExitStack() as held:
        for _ in range(READERS):
            held.enter_context(objects.connection._reader())
        with pytest.raises(StorageUnavailable, match="already waiting for a response"):
            objects.head("b", "k")
    assert objects.state().reason == ""


def test_an_object_too_large_for_memory_is_not_fetched(objects: BucketObjects) -> None:
    for key in ("a petabyte", "byte by byte"):
        with pytest.raises(ServiceError, match="bytes, and 5000 is the most") as refusal:
            objects.get("b", key, limit=5000)
        assert refusal.value.code == "EntityTooLarge"
        assert objects.state().reason == ""


def test_an_object_too_large_for_the_disk_is_not_fetched(objects: BucketObjects, tmp_path: Path) -> None:
    with pytest.raises(StorageUnavailable, match="has 1000000000000000 bytes, but the disk of"):
        objects.open("b", "a petabyte")
    with pytest.raises(StorageUnavailable, match="has 1000000000000000 bytes, but the disk of"):
        objects.download("b", "a petabyte", tmp_path / "there" / "file")
    assert not [path for path in tmp_path.rglob("*") if path.suffix == ".object" or path.name == "file"]
