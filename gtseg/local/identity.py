"""Whether a server is the one of a data folder: it proves that it knows the folder's secret, before it is told any.

The client sends a random challenge; the server answers with an HMAC of the challenge and of its own address, so that nobody
can pass the challenge on to the right server and pass for it at another address. On the same connection, only then, the
client sends its token.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import http.client
import json
import re
import secrets
import socket
import ssl
import threading
from pathlib import Path
from urllib.parse import urlsplit

__all__ = ["PATH", "FalseServer", "connect", "find_challenge", "make_proof", "prove", "trust"]

PATH = "/_gtseg/identity"
TIMEOUT_SECONDS = 30.0
CHALLENGE = re.compile(r"challenge=([0-9a-f]{64})\Z")
PURPOSE = b"gtseg: identity of the server of a data folder"


class FalseServer(OSError):
    """Whoever answers is not the server of the data folder; nothing secret was sent."""


def make_proof(secret_key: str, challenge: str, url: str) -> str:
    """What the server of `url` answers to `challenge`, in hex."""
    key = hmac.digest(secret_key.encode(), PURPOSE, hashlib.sha256)
    return hmac.digest(key, f"{challenge}\n{url}".encode(), hashlib.sha256).hex()


def find_challenge(query: bytes) -> str | None:
    """The challenge in a query string; None if there is no valid one."""
    found = CHALLENGE.match(query.decode("latin-1"))
    return found[1] if found else None


def connect(url: str, *, certificate: Path | None, timeout: float) -> http.client.HTTPConnection:
    """A connection to a server, not yet open, past every proxy."""
    parts = urlsplit(url)
    host, port = parts.hostname or "localhost", parts.port
    if parts.scheme == "https":
        return http.client.HTTPSConnection(host, port, timeout=timeout, context=trust(certificate))
    return http.client.HTTPConnection(host, port, timeout=timeout)


def prove(connection: http.client.HTTPConnection, *, secret_key: str, url: str) -> None:
    """Let the other end of a connection prove that it is the server of `url`. Raises FalseServer, OSError.

    The connection is open afterwards, and what is sent on it reaches the same server. The whole exchange has the
    connection's timeout, however slowly an answer comes.
    """
    challenge = secrets.token_hex(32)
    deadline = threading.Timer(connection.timeout or TIMEOUT_SECONDS, _hang_up, [connection])
    deadline.daemon = True
    deadline.start()
    try:
        connection.request("GET", f"{PATH}?challenge={challenge}")
        answer = connection.getresponse()
        proof = json.loads(answer.read(4096)).get("proof", "")
        is_proven = hmac.compare_digest(str(proof), make_proof(secret_key, challenge, url))
    except (http.client.HTTPException, ValueError, AttributeError, TypeError, RecursionError):
        is_proven = False
    finally:
        deadline.cancel()
    if not is_proven or connection.sock is None:
        connection.close()
        raise FalseServer(
            f"What answers at {url} is not the server of this data folder; it was told nothing. End it, or start the "
            "folder's server again: gtseg local up"
        )


def _hang_up(connection: http.client.HTTPConnection) -> None:
    with contextlib.suppress(OSError, AttributeError):  # closed meanwhile, or not yet open
        connection.sock.shutdown(socket.SHUT_RDWR)


def trust(certificate: Path | None) -> ssl.SSLContext:
    """Only this very certificate, whatever host it names (our own server's); without one the system's authorities."""
    context = ssl.create_default_context(cafile=certificate)
    if certificate is not None:
        context.check_hostname = False
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    return context
