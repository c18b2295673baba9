"""Proof of a server's identity: it shows that it knows the data folder's secret before a client sends its token.

The client sends a random challenge; the server returns an HMAC of the challenge and of its own address, so that the
challenge cannot be relayed to the right server from another address. Only then, on the same connection, the client
sends its token.
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

PATH = "/_gtseg/identity"
TIMEOUT_SECONDS = 30.0
CHALLENGE = re.compile(r"challenge=([0-9a-f]{64})\Z")
PURPOSE = b"gtseg: identity of the server of a data folder"


class FalseServer(OSError):
    """The responding server is not that of the data folder; nothing secret was sent."""


def make_proof(secret_key: str, challenge: str, url: str) -> str:
    """Return the response of the server at `url` to `challenge`, in hex."""
    key = hmac.digest(secret_key.encode(), PURPOSE, hashlib.sha256)
    return hmac.digest(key, f"{challenge}\n{url}".encode(), hashlib.sha256).hex()


def find_challenge(query: bytes) -> str | None:
    """Return the challenge in a query string; None if it is missing or invalid."""
    found = CHALLENGE.match(query.decode("latin-1"))
    return found[1] if found else None


def connect(url: str, *, certificate: Path | None, timeout: float) -> http.client.HTTPConnection:
    """Return a connection to a server, not yet open, which ignores proxies."""
    parts = urlsplit(url)
    host, port = parts.hostname or "localhost", parts.port
    if parts.scheme == "https":
        return http.client.HTTPSConnection(host, port, timeout=timeout, context=trust(certificate))
    return http.client.HTTPConnection(host, port, timeout=timeout)


def prove(connection: http.client.HTTPConnection, *, secret_key: str, url: str) -> None:
    """Require proof that a connection leads to the server of `url`. Raises FalseServer, OSError.

    The connection stays open, and later requests on it reach the same server. The whole exchange is limited by the
    connection's timeout, even if data arrives slowly.
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
            f"The server at {url} is not that of this data folder; no token was sent to it. Stop it, or start the "
            "folder's server again: gtseg local up"
        )


def _hang_up(connection: http.client.HTTPConnection) -> None:
    with contextlib.suppress(OSError, AttributeError):  # closed already, or not yet open
        connection.sock.shutdown(socket.SHUT_RDWR)


def trust(certificate: Path | None) -> ssl.SSLContext:
    """Return a TLS context that trusts only this certificate, for any host name.

    Without a certificate, it trusts the system's authorities.
    """
    context = ssl.create_default_context(cafile=certificate)
    if certificate is not None:
        context.check_hostname = False
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    return context
