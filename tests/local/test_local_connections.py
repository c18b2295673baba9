"""Bounds of one connection: the size of a head, and the time that it may take."""

from __future__ import annotations

import asyncio  # its loop gets a thread of its own: a browser's may be running in this one
import socket
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlsplit

import pytest
from uvicorn.config import Config
from uvicorn.server import ServerState

from gtseg.local import connections
from gtseg.local.connections import HEAD_BYTES_MAXIMUM, BoundedProtocol


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


@pytest.mark.parametrize("head", [
    b"GET /_gtseg/health HTTP/1.1\r\nHost: x\r\na: " + b"b" * (HEAD_BYTES_MAXIMUM + 10) + b"\r\n\r\n",
    b"GET /_gtseg/health?" + b"q" * (HEAD_BYTES_MAXIMUM + 10) + b" HTTP/1.1\r\nHost: x\r\n\r\n",
], ids=["header", "address"])  # fmt: skip
def test_a_head_that_is_too_long_is_answered_431(shared_aws: Any, head: bytes) -> None:
    assert converse(shared_aws, head).startswith(b"HTTP/1.1 431")


def test_a_head_just_within_the_limit_is_served(shared_aws: Any) -> None:
    head = (
        b"GET /_gtseg/health HTTP/1.1\r\nHost: x\r\nConnection: close\r\na: "
        + b"b" * (HEAD_BYTES_MAXIMUM - 200)
        + b"\r\n\r\n"
    )
    assert converse(shared_aws, head).startswith(b"HTTP/1.1 200")


def test_a_head_that_never_ends_closes_the_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "HEAD_SECONDS", 0.2)

    async def application(scope: Any, receive: Any, send: Any) -> None:
        raise AssertionError("half a request was served")

    async def serve() -> bytes:
        loop = asyncio.get_running_loop()
        config = Config(application, lifespan="off", log_level="critical")
        config.load()

        def make() -> BoundedProtocol:
            return BoundedProtocol(config=config, server_state=ServerState(), app_state={}, _loop=loop)

        server = await loop.create_server(make, "127.0.0.1", 0)
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\nX-Slow: ")
        answer = await asyncio.wait_for(reader.read(), 20)
        writer.close()
        server.close()
        return answer

    assert ThreadPoolExecutor(1).submit(asyncio.run, serve()).result() == b""
