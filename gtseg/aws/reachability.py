"""Record of the servers that have responded as AWS does. Others are given up after seconds instead of minutes.

A wrong address, a closed port or a captive portal never gives a valid response. AWS, or a server that restarts, has
given one before and will again.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from urllib.parse import urlsplit

from gtseg.aws.refusals import NOT_AWS
from gtseg.errors import AWSError

PLACE = "AWS_ENDPOINT_URL (if set)"
"""Default description of where the address of a service is configured."""
TRIES = 3
"""Maximum attempts on a server that has never responded."""


class Contact:
    """Servers (host and port) that have given a valid response in this process, and the last URL of each thread."""

    def __init__(self) -> None:
        self._known: set[str] = set()
        self._places: dict[str, str] = {}
        self._last = threading.local()

    def name_place(self, url: str, place: str) -> None:
        """Set the description of where the address of a server is configured."""
        self._places[urlsplit(url).netloc] = place

    def place_of(self, url: str) -> str:
        """Return the description of where the address is configured."""
        return self._places.get(urlsplit(url).netloc, PLACE)

    def begin(self, url: str) -> None:
        self._last.url = url

    def answered(self, url: str = "") -> None:
        self._known.add(urlsplit(url or self.last).netloc)

    def has_answered(self, url: str = "") -> bool:
        return urlsplit(url or self.last).netloc in self._known

    def count_try(self, url: str) -> int:
        """Count and return this thread's attempts on a server over all calls; botocore counts those of one call."""
        tries: dict[str, int] = self._last.__dict__.setdefault("tries", {})
        server = urlsplit(url).netloc
        tries[server] = tries.get(server, 0) + 1
        return tries[server]

    @property
    def last(self) -> str:
        """The URL of this thread's last request."""
        return str(getattr(self._last, "url", ""))


def foreign_answer(operation: str, url: str, *, status: int, kind: str, body: bytes, place: str = PLACE) -> AWSError:
    """Return the error for a response that is not from AWS. It is final: a retry would reach the same server."""
    address = urlsplit(url)
    said = " ".join(body[:200].decode("utf-8", "replace").split())
    shown = "".join(letter for letter in said if letter.isprintable())[:80]
    what = f"{status} and {kind or 'nothing'}" + (f" ({shown!r})" if shown else "")
    error = AWSError(
        operation,
        NOT_AWS,
        f"{address.scheme}://{address.netloc} answered {what}, which is not a response of AWS",
        hint=f"{_proxy_words(url)}Is {place} right, and does the network ask you to sign in first?",
    )
    error.is_final = True
    return error


def no_answer(operation: str, url: str, reason: str, *, place: str = PLACE) -> AWSError:
    """Return the error for a server that has never responded. `place`: where its address is configured."""
    address = urlsplit(url)
    words = reason if address.netloc in reason else f"{address.scheme}://{address.netloc}: {reason}"
    hint = f"{_proxy_words(url)}Is the address reachable, and {place} right?"
    if "CERTIFICATE_VERIFY" in reason:
        hint += (
            " If its certificate authority is private, name the certificate in ca_bundle of the profile or in "
            "AWS_CA_BUNDLE."
        )
    error = AWSError(operation, "ConnectionError", words, hint=hint)
    error.is_final = True
    return error


def _proxy_words(url: str) -> str:
    """Return a hint about the proxy of the URL, '' if there is none."""
    name = proxy_variable(url, os.environ)
    if name is None:
        return ""
    host = urlsplit(url).hostname or ""
    return f"{name} sends the request through a proxy; to bypass it: export NO_PROXY={host}. "


def proxy_variable(url: str, environ: Mapping[str, str]) -> str | None:
    """Return the environment variable that sets the proxy for `url`, or None if there is none or NO_PROXY lists the
    host.
    """
    place = urlsplit(url)
    host = (place.hostname or "").lower()
    spared = (environ.get("no_proxy") or environ.get("NO_PROXY") or "").lower().replace(" ", "").split(",")
    if any(entry == "*" or (entry and (host == entry or host.endswith("." + entry.lstrip(".")))) for entry in spared):
        return None
    names = (f"{place.scheme}_proxy", f"{place.scheme.upper()}_PROXY")
    return next((name for name in names if environ.get(name)), None)
