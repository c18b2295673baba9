"""Serving containers: a process of the algorithm on a local port, with keep-alive connections."""

from __future__ import annotations

import http.client
import os
import socket
import sys
import threading
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from gtseg.local.jobs.processes import Process

PING_SECONDS = 2.0
END_SECONDS = 5.0
STALE = (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError, http.client.CannotSendRequest)


@dataclass(frozen=True)
class Response:
    """A container's response; header names are lower case."""

    status: int
    headers: dict[str, str]
    body: bytes


class ContainerTimeout(Exception):
    """The container did not respond within the time limit."""


class ContainerUnreachable(Exception):
    """The container does not accept connections, or the connection was closed."""


@dataclass
class Container:
    """A serving container: `folder/ml/model` has the model, `folder/process` the process. It ends with the server."""

    folder: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    port: int = 0

    def __post_init__(self) -> None:
        self.process = Process(self.folder / "process")
        self._idle: list[http.client.HTTPConnection] = []
        self._lock = threading.Lock()

    def start(self) -> None:
        """Start the process on a free port, after ending one that an earlier server left."""
        self.process.end(END_SECONDS)
        self.process.output.unlink(missing_ok=True)
        self.port = _find_port()
        command = [sys.executable, "-m", "gtseg.local.algorithm", "serve"]
        command += ["--root", str(self.folder / "ml"), "--port", str(self.port)]
        environment = {**os.environ, "PYTHONUNBUFFERED": "1", **self.environment}
        self.process.launch(command, environment=environment, dies_with_us=True)

    def alive(self) -> bool:
        return self.process.alive()

    def ready(self) -> bool:
        """Return whether GET /ping, SageMaker's health check, returns 200."""
        try:
            return self.request("GET", "/ping", timeout=PING_SECONDS).status == 200
        except (ContainerTimeout, ContainerUnreachable):
            return False

    def stop(self) -> None:
        with self._lock:
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()
        self.process.end(END_SECONDS)

    def read_output(self, offset: int, *, final: bool = False) -> tuple[list[str], int]:
        """Return (new complete lines, new offset) of the process's output after byte `offset`."""
        try:
            with self.process.output.open("rb") as file:
                file.seek(offset)
                chunk = file.read()
        except FileNotFoundError:
            return [], offset
        size = len(chunk) if final else chunk.rfind(b"\n") + 1
        text = chunk[:size].replace(os.fsencode(self.folder / "ml"), b"/opt/ml")  # the container's path on AWS
        return [line.decode(errors="replace") for line in text.splitlines() if line.strip()], offset + size

    def last_lines(self, count: int = 3) -> str:
        """Return the last `count` lines of the output, joined, for a failure reason."""
        return " ".join(self.read_output(0, final=True)[0][-count:])

    def request(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str] | None = None,
        *,
        body: bytes | None = None,
        timeout: float,
    ) -> Response:
        """Send one request on a keep-alive connection. Raises ContainerTimeout or ContainerUnreachable.

        A connection that the container has closed is replaced once, because no response was received on it.
        """
        connection = self._take()
        try:
            if connection is not None:
                try:
                    return self._exchange(connection, method, path, headers or {}, body=body, timeout=timeout)
                except STALE:
                    connection.close()
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
            return self._exchange(connection, method, path, headers or {}, body=body, timeout=timeout)
        except TimeoutError:
            raise ContainerTimeout from None
        except (OSError, http.client.HTTPException) as error:
            raise ContainerUnreachable(str(error)) from None

    def _exchange(
        self,
        connection: http.client.HTTPConnection,
        method: str,
        path: str,
        headers: Mapping[str, str],
        *,
        body: bytes | None,
        timeout: float,
    ) -> Response:
        try:
            if connection.sock is not None:
                connection.sock.settimeout(timeout)
            connection.request(method, path, body=body, headers=dict(headers))
            answer = connection.getresponse()
            content = answer.read()
        except BaseException:
            connection.close()
            raise
        if answer.will_close:
            connection.close()
        else:
            with self._lock:
                self._idle.append(connection)
        found = {name.lower(): value for name, value in answer.getheaders()}
        return Response(answer.status, found, content)

    def _take(self) -> http.client.HTTPConnection | None:
        with self._lock:
            return self._idle.pop() if self._idle else None


_last_ports: deque[int] = deque(maxlen=64)


def _find_port() -> int:
    """Return a free port that was not recently assigned to another container, which may not listen on it yet."""
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
        if port not in _last_ports:
            _last_ports.append(port)
            return port
