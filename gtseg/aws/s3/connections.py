"""Persistent HTTP/1.1 connection that returns complete responses or raises a specific error.

http.client spends more CPU on parsing headers than everything else here; S3 responses need content length and chunks
only.
"""

from __future__ import annotations

import base64
import os
import socket
import ssl
import struct
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any
from urllib.parse import unquote, urlsplit

from gtseg.aws.s3.bodies import FileBody
from gtseg.aws.s3.endpoints import Endpoint

CONNECT_SECONDS, READ_SECONDS = 10, 60
"""Connect and read timeouts. botocore: 60 and 60; after ten seconds a new attempt is more likely to succeed."""
_MAX_HEAD_LINES = 200
_SMALL = 65536
_BUFFER = 16 * 1024
"""Read-ahead in bytes; the rest of a long body is read directly into its buffer."""


class BrokenAnswer(OSError):
    """The response ended early or was not HTTP."""


@dataclass(slots=True)
class Answer:
    """One complete HTTP response; header names in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes


@dataclass(slots=True)
class Traffic:
    """Requests and bytes transferred over a connection, headers included."""

    requests: int = 0
    sent: int = 0
    received: int = 0


@dataclass(slots=True)
class Connection:
    """A connection to one endpoint, opened when needed. Not thread-safe."""

    endpoint: Endpoint
    traffic: Traffic = field(default_factory=Traffic)
    _socket: Any = None
    _reader: Any = None

    @property
    def is_open(self) -> bool:
        return self._socket is not None

    def exchange(self, head: bytes, body: bytes | FileBody, *, is_head: bool = False) -> Answer:
        """Send a request's head and body and return the complete response.

        Raises OSError; the caller must then close.
        """
        if self._socket is None:
            self._open()
        self.traffic.requests += 1
        self.traffic.sent += len(head) + len(body)
        self._send(head, body)
        status, headers = self._read_head()
        while 100 <= status < 200:
            status, headers = self._read_head()
        content = b"" if is_head or status in (204, 304) else self._read_body(headers)
        self.traffic.received += len(content)
        if headers.get("connection", "").lower() == "close":
            self.close()
        return Answer(status, headers, content)

    def _send(self, head: bytes, body: bytes | FileBody) -> None:
        if isinstance(body, bytes) and len(body) < _SMALL:
            self._socket.sendall(head + body)  # one packet if it fits
            return
        self._socket.sendall(head)
        for piece in (body,) if isinstance(body, bytes) else body:
            self._socket.sendall(piece)

    def close(self) -> None:
        if self._socket is not None:
            self._reader.close()
            self._socket.close()
            self._socket = self._reader = None

    def _open(self) -> None:
        address = (self.endpoint.host, self.endpoint.port)
        proxy = find_proxy(f"{self.endpoint.scheme}://{self.endpoint.host_header}/")
        self._socket = socket.create_connection(
            (proxy.hostname, proxy.port or 80) if proxy else address, CONNECT_SECONDS
        )
        self._socket.settimeout(READ_SECONDS)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if proxy:
            self._reader = self._socket.makefile("rb", _BUFFER)
            self._tunnel(proxy)
            self._reader.close()
        if self.endpoint.scheme == "https":
            self._socket = ssl_context().wrap_socket(self._socket, server_hostname=self.endpoint.host)
        else:
            _set_kernel_timeouts(self._socket)
        self._reader = self._socket.makefile("rb", _BUFFER)

    def _tunnel(self, proxy: Any) -> None:
        """Open a tunnel with CONNECT, for http too: the proxy must not change the signed request."""
        host = f"{self.endpoint.host}:{self.endpoint.port}"
        lines = [f"CONNECT {host} HTTP/1.1", f"Host: {host}"]
        if proxy.username:
            account = f"{unquote(proxy.username)}:{unquote(proxy.password or '')}"
            lines.append(f"Proxy-Authorization: Basic {base64.b64encode(account.encode()).decode()}")
        self._socket.sendall("\r\n".join([*lines, "", ""]).encode())
        status, _ = self._read_head()
        if status != 200:
            raise BrokenAnswer(f"the proxy {proxy.hostname} answered {status}")

    def _read_head(self) -> tuple[int, dict[str, str]]:
        window = self._reader.peek()
        if (end := window.find(b"\r\n\r\n")) >= 0 and window.startswith(b"HTTP/1."):
            return self._split_head(self._reader.read(end + 4))
        first = self._reader.readline(65537)
        if not first.startswith(b"HTTP/1.") or len(first) < 12:
            raise BrokenAnswer("no answer" if not first else f"not an HTTP response: {first[:60]!r}")
        headers: dict[str, str] = {}
        size = len(first)
        for _ in range(_MAX_HEAD_LINES):
            line = self._reader.readline(65537)
            size += len(line)
            if line in (b"\r\n", b"\n"):
                self.traffic.received += size
                return int(first[9:12]), headers
            if not line.endswith(b"\n"):
                raise BrokenAnswer("the response ended inside its headers")
            name, _, value = line.decode("latin-1").partition(":")
            headers[name.lower()] = value.strip()
        raise BrokenAnswer("the response has too many headers")

    def _split_head(self, head: bytes) -> tuple[int, dict[str, str]]:
        """Parse a head that arrived in one piece, the usual case, at a third of the CPU of reading line by line."""
        self.traffic.received += len(head)
        first, *lines = head.decode("latin-1")[:-4].split("\r\n")
        fields = [line.partition(":") for line in lines]
        return int(first[9:12]), {name.lower(): value.strip() for name, _, value in fields}

    def _read_body(self, headers: dict[str, str]) -> bytes:
        if headers.get("transfer-encoding", "").lower() == "chunked":
            return b"".join(self._read_chunks())
        if (length := headers.get("content-length")) is None:
            headers["connection"] = "close"
            self._socket.settimeout(READ_SECONDS)  # treat silence as an error, not as the end of the body
            return bytes(self._reader.read())
        return self._read_exactly(int(length))

    def _read_chunks(self) -> list[bytes]:
        """Read a chunked body (CopyObject, listings). S3 sends spaces first to keep the connection alive."""
        chunks = []
        while size := int(self._reader.readline(1024).split(b";")[0].strip() or b"-1", 16):
            if size < 0:
                raise BrokenAnswer("the response ended inside its chunks")
            chunks.append(self._read_exactly(size))
            self._reader.readline(1024)
        while self._reader.readline(65537) not in (b"\r\n", b"\n", b""):
            pass
        return chunks

    def _read_exactly(self, size: int) -> bytes:
        content: bytes = (self._reader.read(size) if size else b"") or b""  # None on timeout
        if len(content) != size:
            raise BrokenAnswer(f"the response has {len(content):,} of its {size:,} bytes")
        return content


def _set_kernel_timeouts(connection: socket.socket) -> None:
    """Set timeouts in the kernel (socket(7), SO_RCVTIMEO): Python's cost a poll and the interpreter lock per call."""
    connection.settimeout(None)
    for option in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
        connection.setsockopt(socket.SOL_SOCKET, option, struct.pack("ll", READ_SECONDS, 0))


@lru_cache(1)
def ssl_context() -> ssl.SSLContext:
    """The CA certificates that botocore trusts: AWS_CA_BUNDLE, REQUESTS_CA_BUNDLE, else its own."""
    from botocore.httpsession import get_cert_path

    bundle = os.environ.get("AWS_CA_BUNDLE") or os.environ.get("REQUESTS_CA_BUNDLE")
    return ssl.create_default_context(cafile=bundle or get_cert_path(True))


def find_proxy(url: str) -> Any:
    """Return the proxy for a URL from HTTP(S)_PROXY and NO_PROXY as botocore reads them, or None."""
    from botocore.utils import get_environ_proxies

    proxy = get_environ_proxies(url).get(urlsplit(url).scheme)
    return urlsplit(proxy if "://" in proxy else f"http://{proxy}") if proxy else None
