"""/healthz: whether the service still polls, and the state of each run."""

from __future__ import annotations

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from gtseg.errors import GtsegError


class Health:
    """State written by the service and read by the page; unhealthy after `stale` seconds without a successful poll."""

    def __init__(self, *, stale: float) -> None:
        self._lock, self._stale = threading.Lock(), stale
        self._polled_at, self._trouble = time.monotonic(), ""
        self._runs: dict[str, dict[str, Any]] = {}

    def polled(self, runs: dict[str, dict[str, Any]]) -> None:
        with self._lock:
            self._polled_at, self._trouble, self._runs = time.monotonic(), "", runs

    def failed(self, why: str) -> None:
        with self._lock:
            self._trouble = why

    def describe(self) -> tuple[int, dict[str, Any]]:
        """Return (HTTP status, document)."""
        with self._lock:
            age = time.monotonic() - self._polled_at
            healthy = age < self._stale
            document = {
                "status": "ok" if healthy else "stale",
                "seconds_since_last_look": round(age, 1),
                "trouble": self._trouble,
                "runs": self._runs,
            }
        return (200 if healthy else 503), document


def serve_health(health: Health, host: str, port: int) -> ThreadingHTTPServer:
    """Start a server on its own thread. Raises GtsegError if the port is in use."""

    class Page(BaseHTTPRequestHandler):
        timeout = 10

        def do_GET(self) -> None:
            status, document = (
                health.describe() if self.path == "/healthz" else (404, {"error": "only /healthz is served here"})
            )
            body = json.dumps(document).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Health checks are not logged."""

    try:
        server = ThreadingHTTPServer((host, port), Page)
    except OSError as error:
        raise GtsegError(f"Cannot listen on {host}:{port}: {error.strerror}. Set another [serve] port.") from None
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True, name="healthz").start()
    return server
