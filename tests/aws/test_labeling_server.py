"""Health of a labeling server: read up to a limit, None for other servers."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from gtseg.aws.clients import Clients
from gtseg.aws.labeling_server import MAX_BYTES, read_health
from gtseg.errors import AWSError

STORAGE = {"kind": "s3", "endpoint": "https://minio.lan:9000/", "reachable": False, "reason": "no answer"}
HEALTH = {"version": "0.2.0", "storage": STORAGE, "backlog": {"objects": 3}}


class Server:
    """Responds to every GET with `status` and `body`, and counts the sent bytes."""

    status, body = 200, b""
    sent = 0

    def __init__(self) -> None:
        told = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(told.status)
                self.end_headers()
                try:
                    for start in range(0, len(told.body), 2**16):
                        told.sent += self.wfile.write(told.body[start : start + 2**16])
                except ConnectionError:
                    return

            def log_message(self, format: str, *args: Any) -> None:
                return

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.http.serve_forever, daemon=True).start()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    server = Server()
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "x")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.http.server_port}")
    yield server
    server.http.shutdown()
    server.http.server_close()


def test_the_storage_error_and_backlog_of_a_labeling_server_are_read(server: Server) -> None:
    server.body = json.dumps(HEALTH).encode()
    health = read_health(Clients(region="us-east-1"))
    assert health is not None
    assert (health.storage, health.trouble, health.backlog) == ("https://minio.lan:9000", "no answer", 3)


@pytest.mark.parametrize(("status", "body"), [(404, b"{}"), (200, b'{"version": "0.1.0"}')])
def test_a_server_without_a_health_page_has_no_health(server: Server, status: int, body: bytes) -> None:
    server.status, server.body = status, body
    assert read_health(Clients(region="us-east-1")) is None


def test_an_endless_health_page_is_read_up_to_a_limit(server: Server) -> None:
    server.body = b'{"version": "' + b"x" * 200_000_000
    with pytest.raises(AWSError, match="health"):
        read_health(Clients(region="us-east-1"))
    assert server.sent < 100 * MAX_BYTES
