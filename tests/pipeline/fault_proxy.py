"""A proxy in front of an embedded AWS that fails, truncates or kills at a chosen request."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

THROTTLED = (400, b'{"__type":"ThrottlingException","message":"Rate exceeded"}')
READS = ("Describe", "List", "Get")


@dataclass
class Request:
    """A received request; `name` is the SageMaker operation or 'PUT /bucket/key?query'."""

    name: str
    is_signed: bool = True
    path: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""

    @property
    def changes_something(self) -> bool:
        if " " in self.name:  # S3, or a query service: POST / is GetCallerIdentity
            return not self.name.startswith(("GET ", "HEAD ")) and self.name != "POST /"
        return not self.name.startswith(READS)


@dataclass
class FaultProxy:
    """Calls `before(request)`, whose (status, body) replaces the answer, and `after(request)` before answering."""

    target: str
    before: Callable[[Request], tuple[int, bytes] | None] = lambda request: None
    after: Callable[[Request], None] = lambda request: None
    seen: list[Request] = field(default_factory=list)

    def __enter__(self) -> FaultProxy:
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self) -> None:
                proxy.forward(self)

            do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = answer

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        self.server.shutdown()
        self.server.server_close()

    def forward(self, handler: BaseHTTPRequestHandler) -> None:
        if handler.path.startswith("http://"):  # asked as a proxy
            address = urlsplit(handler.path)
            handler.path = address.path + (f"?{address.query}" if address.query else "")
        body = handler.rfile.read(int(handler.headers.get("content-length") or 0))
        target = handler.headers.get("x-amz-target", "").rpartition(".")[2]
        headers = {name.lower(): value for name, value in handler.headers.items()}
        name = target or f"{handler.command} {handler.path}"
        request = Request(name, "authorization" in headers, handler.path, headers, body)
        self.seen.append(request)
        status, content, answered = *(self.before(request) or (0, b"")), []
        if not status:
            status, content, answered = self._ask(handler, body)
            self.after(request)
        handler.send_response_only(status)
        for name, value in answered:
            if name.lower() not in {"content-length", "connection", "transfer-encoding"}:
                handler.send_header(name, value)
        length = {k.lower(): v for k, v in answered}.get("content-length") if handler.command == "HEAD" else None
        handler.send_header("content-length", length or str(len(content)))
        handler.end_headers()
        if handler.command != "HEAD":
            handler.wfile.write(content)

    def _ask(self, handler: BaseHTTPRequestHandler, body: bytes) -> tuple[int, bytes, list[tuple[str, str]]]:
        """Return the server's response; the Host header is kept because the signature covers it."""
        connection = http.client.HTTPConnection(urlsplit(self.target).netloc, timeout=60)
        connection.putrequest(handler.command, handler.path, skip_host=True, skip_accept_encoding=True)
        for name, value in handler.headers.items():
            if name.lower() not in {"connection", "expect", "content-length", "transfer-encoding"}:
                connection.putheader(name, value)
        connection.putheader("content-length", str(len(body)))
        connection.endheaders(body)
        answer = connection.getresponse()
        try:
            return answer.status, answer.read(), answer.getheaders()
        finally:
            connection.close()
