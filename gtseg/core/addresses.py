"""Redaction of user names, passwords, tokens and keys in URLs, for logs and files."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

HIDDEN = "..."
SECRET = re.compile(r"key|token|secret|sig|auth|pass|cred|session|access", re.IGNORECASE)
PLAIN = re.compile(r"[A-Za-z0-9._,:/-]{0,12}|[^&]*\{[^&]*\}[^&]*")
LONG = re.compile(r"(?=.*\d)(?=.*[A-Za-z])[A-Za-z0-9_.=~-]{20,}")


def public_address(text: str) -> str:
    """Return an http(s) URL with secrets replaced by `...`; other text unchanged.

    Secrets: user and password; query values with a telling name (`key`, `token`, `sig`) or a suspicious length; long
    path segments that mix letters and digits.
    """
    if not text.lower().startswith(("http://", "https://")):
        return text
    try:
        parts = urlsplit(text)
        host = parts.netloc.rpartition("@")[2]
    except ValueError:
        return HIDDEN
    path = "/".join(HIDDEN if LONG.fullmatch(part) else part for part in parts.path.split("/"))
    query = "&".join(map(_public_pair, parts.query.split("&"))) if parts.query else ""
    return f"{parts.scheme}://{host}{path}" + (f"?{query}" if query else "")


def _public_pair(pair: str) -> str:
    name, equals, value = pair.partition("=")
    if not equals:
        return name if PLAIN.fullmatch(name) else HIDDEN
    is_template = value in {"{token}", "{x}", "{y}", "{z}", "{-y}"}
    is_public = is_template or (PLAIN.fullmatch(value) and not SECRET.search(name))
    return f"{name}={value if is_public else HIDDEN}"
