"""Services that the embedded AWS does not implement (STS, IAM, events, ...): moto in this process, imported on first
use.

moto's state is lost on a restart. Sources: moto's documentation, "Server mode"; `moto.moto_server.werkzeug_app`.
"""

from __future__ import annotations

import io
import json
import sys
import threading
from typing import Any
from xml.sax.saxutils import escape

_lock = threading.Lock()
_application: Any = None


def _load() -> Any:
    global _application
    with _lock:
        if _application is None:
            from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app

            _application = DomainDispatcherApplication(create_backend_app)
    return _application


def answer(
    method: str, path: str, query: str, headers: dict[str, str], *, body: bytes
) -> tuple[int, dict[str, str], bytes]:
    """Return (status, headers, body) of a request; `path` is decoded. Blocks: call it in a worker thread."""
    started: dict[str, Any] = {}

    def start_response(status: str, response_headers: list[tuple[str, str]], exc_info: Any = None) -> None:
        started["status"] = int(status.split(" ", 1)[0])
        started["headers"] = {name.lower(): value for name, value in response_headers}

    try:
        chunks = _load()(_make_environ(method, path, query, headers, body=body), start_response)
        try:
            content = b"".join(chunks)
        finally:
            if hasattr(chunks, "close"):
                chunks.close()
    except Exception as error:  # moto raises for unknown operations; its own response would be an HTML page
        return _refuse(headers, error)
    if started["status"] >= 500 and "html" in started["headers"].get("content-type", ""):
        return _refuse(headers, NotImplementedError("no response"))
    return started["status"], started["headers"], content


def _refuse(headers: dict[str, str], error: Exception) -> tuple[int, dict[str, str], bytes]:
    """Return AWS's NotImplemented in the request's protocol; clients retry a 500 but not a 501."""
    message = f"The embedded AWS does not implement this operation ({type(error).__name__}: {error})."
    if "x-amz-target" in headers or "json" in headers.get("content-type", ""):
        body = json.dumps({"__type": "NotImplemented", "message": message}).encode()
        return 501, {"content-type": "application/x-amz-json-1.1"}, body
    document = (
        "<ErrorResponse><Error><Type>Sender</Type><Code>NotImplemented</Code>"
        f"<Message>{escape(message)}</Message></Error></ErrorResponse>"
    )
    return 501, {"content-type": "text/xml"}, document.encode()


def _make_environ(method: str, path: str, query: str, headers: dict[str, str], *, body: bytes) -> dict[str, Any]:
    host, _, port = headers.get("host", "localhost").partition(":")
    environ: dict[str, Any] = {
        "REQUEST_METHOD": method,
        "SCRIPT_NAME": "",
        "PATH_INFO": path.encode("utf-8", "surrogateescape").decode("latin-1"),
        "QUERY_STRING": query,
        "SERVER_NAME": host,
        "SERVER_PORT": port or "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "CONTENT_LENGTH": str(len(body)),
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(body),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }
    for name, value in headers.items():
        variable = name.upper().replace("-", "_")
        if variable == "CONTENT_TYPE":
            environ[variable] = value
        elif variable not in ("CONTENT_LENGTH", "TRANSFER_ENCODING"):
            environ[f"HTTP_{variable}"] = value
    return environ
