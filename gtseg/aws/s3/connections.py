"""One kept-alive HTTP/1.1 connection: a request out, a whole answer back or an error that says which.

http.client spends more CPU on an answer's headers than all else here costs; S3's answers need its length, and chunks.
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
"""botocore: 60 and 60; a connection that takes more than ten seconds is better tried again."""
_MAX_HEAD_LINES = 200
_SMALL = 65536
_BUFFER = 16 * 1024
"""Bytes read ahead; the rest of a long body goes right to where it is wanted."""


class BrokenAnswer(OSError):
    """The answer ended early or was no HTTP."""


@dataclass(slots=True)
class Answer:
    """One whole HTTP answer; header names in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes


@dataclass(slots=True)
class Traffic:
    """What went over a connection, headers included."""

    requests: int = 0
    sent: int = 0
    received: int = 0


@dataclass(slots=True)
class Connection:
    """To one endpoint; not for two threads at once. Opens itself when needed."""

    endpoint: Endpoint
    traffic: Traffic = field(default_factory=Traffic)
    _socket: Any = None
    _reader: Any = None

    @property
    def is_open(self) -> bool:
        return self._socket is not None

    def exchange(self, head: bytes, body: bytes | FileBody, *, is_head: bool = False) -> Answer:
        """Send a request's head and body, return the whole answer. OSError for all that goes wrong; the caller closes."""
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
            self._socket.sendall(head + body)  # one packet where it fits
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
            self._socket = trust().wrap_socket(self._socket, server_hostname=self.endpoint.host)
        else:
            _let_kernel_wait(self._socket)
        self._reader = self._socket.makefile("rb", _BUFFER)

    def _tunnel(self, proxy: Any) -> None:
        """CONNECT through the proxy, for http too: S3 sees the request that was signed."""
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
            raise BrokenAnswer("no answer" if not first else f"no HTTP answer: {first[:60]!r}")
        headers: dict[str, str] = {}
        size = len(first)
        for _ in range(_MAX_HEAD_LINES):
            line = self._reader.readline(65537)
            size += len(line)
            if line in (b"\r\n", b"\n"):
                self.traffic.received += size
                return int(first[9:12]), headers
            if not line.endswith(b"\n"):
                raise BrokenAnswer("the answer ended inside its headers")
            name, _, value = line.decode("latin-1").partition(":")
            headers[name.lower()] = value.strip()
        raise BrokenAnswer("an answer with endless headers")

    def _split_head(self, head: bytes) -> tuple[int, dict[str, str]]:
        """A head that has come in one piece, as nearly all do: a third of the line by line reading's CPU."""
        self.traffic.received += len(head)
        first, *lines = head.decode("latin-1")[:-4].split("\r\n")
        fields = [line.partition(":") for line in lines]
        return int(first[9:12]), {name.lower(): value.strip() for name, _, value in fields}

    def _read_body(self, headers: dict[str, str]) -> bytes:
        if headers.get("transfer-encoding", "").lower() == "chunked":
            return b"".join(self._read_chunks())
        if (length := headers.get("content-length")) is None:
            headers["connection"] = "close"
            self._socket.settimeout(READ_SECONDS)  # silence is an error here, and no end
            return bytes(self._reader.read())
        return self._read_exactly(int(length))

    def _read_chunks(self) -> list[bytes]:
        """CopyObject's and listings' way to answer; S3 sends spaces meanwhile to keep the connection alive."""
        chunks = []
        while size := int(self._reader.readline(1024).split(b";")[0].strip() or b"-1", 16):
            if size < 0:
                raise BrokenAnswer("the answer ended inside its chunks")
            chunks.append(self._read_exactly(size))
            self._reader.readline(1024)
        while self._reader.readline(65537) not in (b"\r\n", b"\n", b""):
            pass
        return chunks

    def _read_exactly(self, size: int) -> bytes:
        content: bytes = (self._reader.read(size) if size else b"") or b""  # None: nothing came in time
        if len(content) != size:
            raise BrokenAnswer(f"the answer has {len(content):,} of its {size:,} bytes")
        return content


def _let_kernel_wait(connection: socket.socket) -> None:
    """Timeouts in the kernel (socket(7), SO_RCVTIMEO): Python's own cost a poll, and the interpreter's lock, before each call."""
    connection.settimeout(None)
    for option in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
        connection.setsockopt(socket.SOL_SOCKET, option, struct.pack("ll", READ_SECONDS, 0))


@lru_cache(1)
def trust() -> ssl.SSLContext:
    """The certificates that botocore trusts: AWS_CA_BUNDLE, REQUESTS_CA_BUNDLE, else its own."""
    from botocore.httpsession import get_cert_path

    bundle = os.environ.get("AWS_CA_BUNDLE") or os.environ.get("REQUESTS_CA_BUNDLE")
    return ssl.create_default_context(cafile=bundle or get_cert_path(True))


def find_proxy(url: str) -> Any:
    """The proxy of HTTP(S)_PROXY and NO_PROXY for an address, as botocore reads them; None without."""
    from botocore.utils import get_environ_proxies

    proxy = get_environ_proxies(url).get(urlsplit(url).scheme)
    return urlsplit(proxy if "://" in proxy else f"http://{proxy}") if proxy else None
