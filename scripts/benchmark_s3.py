"""S3 requests per second and CPU per request of the embedded AWS, beside moto's server, interleaved in one run.

    python scripts/benchmark_s3.py [--requests 400] [--rounds 3] [--size 12000] [--clients 8]
                                   [--beside FOLDER] [--json FILE]

`--beside`: another checkout of gtseg, such as that of an older version, in the place of moto.

The client is one thread over raw sockets with requests signed beforehand, so that it is not what is measured. CPU is
the server process's own user + system time. `CPU x` and `rate x` are how many times better than the other one this
server is.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import selectors
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

import psutil

from gtseg.local.front.signature import Signed, derive_key, sign

BUCKET = "bench"
MOTO = """
import time
from moto.server import ThreadedMotoServer
server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
server.start()
host, port = server.get_host_and_port()
print(f"http://{host}:{port}", flush=True)
time.sleep(1e9)
"""


@dataclass(frozen=True)
class Target:
    name: str
    process: psutil.Process
    url: str
    access_key: str
    secret_key: str


@dataclass(frozen=True)
class Figure:
    """Requests per second, and milliseconds of the server's CPU per request."""

    rate: float
    cpu_ms: float


def start_server(command: list[str], log: Path, *, folder: Path | None = None) -> tuple[subprocess.Popen[str], str]:
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=log.open("wb"),
        text=True,
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert process.stdout is not None
    url = process.stdout.readline().strip()
    if not url:
        sys.exit(f"{command} did not start:\n{log.read_text()[-2000:]}")
    return process, url


def sign_request(target: Target, method: str, path: str, *, query: str = "", body: bytes = b"") -> bytes:
    """A whole HTTP/1.1 request, signed by Signature Version 4; `query` is sorted and encoded already."""
    host = urlsplit(target.url).netloc
    now = f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
    digest = hashlib.sha256(body).hexdigest()
    names = ("host", "x-amz-content-sha256", "x-amz-date")
    signed = Signed(target.access_key, now[:8], "us-east-1", "s3", names, "", now)
    canonical = (
        f"{method}\n{path}\n{query}\nhost:{host}\nx-amz-content-sha256:{digest}\nx-amz-date:{now}\n\n"
        f"{';'.join(names)}\n{digest}"
    )
    key = derive_key(target.secret_key, signed.date, signed.region, signed.service)
    authorization = (
        f"AWS4-HMAC-SHA256 Credential={signed.access_key}/{signed.scope}, SignedHeaders={';'.join(names)}, "
        f"Signature={sign(key, signed, canonical)}"
    )
    return (
        f"{method} {path}{'?' + query if query else ''} HTTP/1.1\r\nHost: {host}\r\nx-amz-date: {now}\r\n"
        f"x-amz-content-sha256: {digest}\r\nAuthorization: {authorization}\r\nContent-Length: {len(body)}\r\n\r\n"
    ).encode() + body


class Connection:
    """A connection that is kept as long as the server keeps it: moto's closes after every answer."""

    def __init__(self, address: tuple[str, int]) -> None:
        self._address = address
        self._buffer = b""
        self._is_closing = False
        self._open()

    def _open(self) -> None:
        self.socket = socket.create_connection(self._address)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._is_closing = False

    def send(self, request: bytes) -> None:
        if self._is_closing:
            self.socket.close()
            self._open()
        self._is_head = request.startswith(b"HEAD")
        self.socket.sendall(request)

    def receive(self) -> bool:
        """True when the answer is complete. Exits on any answer but success."""
        data = self.socket.recv(1 << 20)
        self._buffer += data
        head, separator, body = self._buffer.partition(b"\r\n\r\n")
        if not separator:
            if not data:
                sys.exit("the server closed the connection")
            return False
        if not head.startswith(b"HTTP/1.1 2"):
            sys.exit(f"unexpected answer: {self._buffer[:600]!r}")
        if len(body) < self._length(head):
            return False
        self._buffer = b""
        self._is_closing = b"connection: close" in head.lower()
        return True

    def _length(self, head: bytes) -> int:
        if self._is_head:
            return 0
        return next(
            (
                int(line.partition(b":")[2])
                for line in head.split(b"\r\n")
                if line.lower().startswith(b"content-length:")
            ),
            0,
        )


def send_all(target: Target, requests: list[bytes], connections: int = 1) -> Figure:
    """Send every request once over so many connections."""
    parts = urlsplit(target.url)
    selector = selectors.DefaultSelector()
    waiting = iter(requests)
    opened = [Connection((parts.hostname or "", parts.port or 0)) for _ in range(connections)]
    before, started = read_cpu(target), time.perf_counter()
    busy = 0
    for connection in opened:
        busy += send_next(connection, waiting, selector)
    while busy:
        for ready, _ in selector.select():
            if ready.data.receive():
                selector.unregister(ready.data.socket)
                busy += send_next(ready.data, waiting, selector) - 1
    wall = time.perf_counter() - started
    cpu = read_cpu(target) - before
    for connection in opened:
        connection.socket.close()
    return Figure(len(requests) / wall, cpu / len(requests) * 1000)


def send_next(connection: Connection, waiting: Iterator[bytes], selector: selectors.BaseSelector) -> int:
    request = next(waiting, None)
    if request is None:
        return 0
    connection.send(request)
    selector.register(connection.socket, selectors.EVENT_READ, connection)
    return 1


def read_cpu(target: Target) -> float:
    times = target.process.cpu_times()
    return times.user + times.system


def make_workloads(count: int, size: int) -> dict[str, Callable[[Target], list[bytes]]]:
    body = os.urandom(size)
    keys = [f"/{BUCKET}/images/{number:06d}.png" for number in range(count)]
    listing = "list-type=2&max-keys=1000&prefix=images%2F"
    return {
        "PUT": lambda target: [sign_request(target, "PUT", key, body=body) for key in keys],
        "HEAD": lambda target: [sign_request(target, "HEAD", key) for key in keys],
        "GET": lambda target: [sign_request(target, "GET", key) for key in keys],
        "LIST": lambda target: [sign_request(target, "GET", f"/{BUCKET}", query=listing)] * max(count // 20, 1),
    }


def measure(targets: list[Target], *, count: int, rounds: int, size: int, clients: int) -> dict[str, dict[str, Figure]]:
    """workload -> target -> the median figure of all rounds."""
    workloads = make_workloads(count, size)
    for target in targets:
        send_all(target, [sign_request(target, "PUT", f"/{BUCKET}")])
    figures: dict[tuple[str, str], list[Figure]] = {}
    for _ in range(rounds):
        for workload, make in workloads.items():
            for target in targets:
                figures.setdefault((workload, target.name), []).append(send_all(target, make(target), clients))
    return {
        workload: {
            target.name: Figure(
                statistics.median(figure.rate for figure in figures[workload, target.name]),
                statistics.median(figure.cpu_ms for figure in figures[workload, target.name]),
            )
            for target in targets
        }
        for workload in workloads
    }


def show(results: dict[str, dict[str, Figure]], other: str) -> None:
    print(
        f"{'':6}{'gtseg req/s':>14}{f'{other} req/s':>12}{'rate x':>8}"
        f"{'gtseg ms CPU':>15}{f'{other} ms CPU':>13}{'CPU x':>8}"
    )
    for workload, by_target in results.items():
        ours, theirs = by_target["gtseg"], by_target[other]
        print(
            f"{workload:6}{ours.rate:14.0f}{theirs.rate:12.0f}{ours.rate / theirs.rate:8.2f}"
            f"{ours.cpu_ms:15.3f}{theirs.cpu_ms:13.3f}{theirs.cpu_ms / max(ours.cpu_ms, 1e-9):8.2f}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=400, help="per workload and round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--size", type=int, default=12_000, help="bytes of an object")
    parser.add_argument("--clients", type=int, default=8, help="connections at the same time")
    parser.add_argument("--beside", type=Path, help="another checkout of gtseg, instead of moto")
    parser.add_argument("--json", type=Path, help="write the figures here")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder, started, targets = Path(name), [], []
        other = "other" if chosen.beside else "moto"
        try:
            for title, checkout in (("gtseg", None), (other, chosen.beside)):
                is_moto = title == "moto"
                command = ["-c", MOTO] if is_moto else ["-m", "gtseg.local.server", "--data", str(folder / title)]
                process, url = start_server([sys.executable, *command], folder / f"{title}.log", folder=checkout)
                started.append(process)
                owner = folder / ("gtseg" if is_moto else title)
                keys = json.loads((owner / "credentials.json").read_bytes())
                targets.append(Target(title, psutil.Process(process.pid), url, keys["access_key"], keys["secret_key"]))
            results = measure(
                targets, count=chosen.requests, rounds=chosen.rounds, size=chosen.size, clients=chosen.clients
            )
        finally:
            for process in started:
                process.terminate()
                process.wait()
    show(results, other)
    if chosen.json:
        chosen.json.write_text(
            json.dumps({w: {n: vars(f) for n, f in r.items()} for w, r in results.items()}, indent=1)
        )


if __name__ == "__main__":
    main()
