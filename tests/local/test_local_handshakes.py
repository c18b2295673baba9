"""Connections during TLS handshakes: counts, limits, timeouts."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import subprocess
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import uvloop

from gtseg.local.front import handshakes
from gtseg.local.front.connections import Connections
from gtseg.local.front.handshakes import accept_all


class Echo(asyncio.Protocol):
    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.transport.write(data)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    home = tmp_path_factory.mktemp("tls")
    make = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-days",
        "1",
        "-subj",
        "/CN=127.0.0.1",
        "-addext",
        "subjectAltName=IP:127.0.0.1",
        "-keyout",
        str(home / "key"),
        "-out",
        str(home / "crt"),
    ]
    try:
        subprocess.run(make, check=True, capture_output=True)
    except FileNotFoundError:
        pytest.skip("openssl makes the certificate")
    return home / "crt", home / "key"


def serve(
    certificate: tuple[Path, Path],
    admitted: Connections,
    act: Callable[[int, ssl.SSLContext], Coroutine[Any, Any, None]],
) -> None:
    """Run `act(port, trusting context)` beside a TLS server, in an event loop of the server's kind."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*certificate)

    async def run() -> None:
        loop = asyncio.get_running_loop()
        with socket.create_server(("127.0.0.1", 0)) as listener:
            accepting = loop.create_task(accept_all(listener, Echo, context=context, admitted=admitted))
            trusting = ssl.create_default_context(cafile=str(certificate[0]))
            await act(listener.getsockname()[1], trusting)
            accepting.cancel()
            await asyncio.wait([accepting])

    with ThreadPoolExecutor(1) as pool:  # tests with a browser leave a running loop in their thread
        pool.submit(uvloop.run, run()).result()


async def echo(port: int, context: ssl.SSLContext) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
    writer.write(b"hello")
    said = await reader.readexactly(5)
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
    return said


def test_half_open_handshakes_are_limited_per_address_and_the_oldest_are_closed(certificate: tuple[Path, Path]) -> None:
    admitted = Connections(total=100, per_address=8)
    counts = []

    async def act(port: int, context: ssl.SSLContext) -> None:
        silent = [await asyncio.open_connection("127.0.0.1", port) for _ in range(40)]
        silent[-1][1].write(b"\x16\x03\x01\x02")  # the beginning of a hello
        for number in range(3):
            assert await echo(port, context) == b"hello"
            counts.append(admitted.count)
            assert await asyncio.wait_for(silent[number][0].read(), 30) == b""  # hung up on: the oldest first
        for _, writer in silent:
            writer.close()

    serve(certificate, admitted, act)
    assert 0 < max(counts) <= 8


def test_invalid_and_slow_handshakes_end_and_are_no_longer_counted(
    certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handshakes, "HANDSHAKE_SECONDS", 0.3)
    admitted = Connections(total=100, per_address=100)

    async def act(port: int, context: ssl.SSLContext) -> None:
        for words in (b"GET / HTTP/1.1\r\n\r\n", b"", b"\x16\x03\x01\x02\x00\x01"):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(words)
            with contextlib.suppress(ConnectionError):
                await asyncio.wait_for(reader.read(), 30)
            writer.close()
        assert await echo(port, context) == b"hello"

    serve(certificate, admitted, act)
    assert admitted.count == 0


def test_no_handshake_starts_at_the_connection_limit(certificate: tuple[Path, Path]) -> None:
    async def act(port: int, context: ssl.SSLContext) -> None:
        with pytest.raises(OSError):
            await echo(port, context)

    serve(certificate, Connections(total=0, per_address=0), act)
