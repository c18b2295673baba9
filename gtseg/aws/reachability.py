"""Who has answered as AWS does: a server that never has is given up after seconds, one that has after minutes.

A wrong address, a dead port or a captive portal answers nothing sensible from the start. AWS itself, or a server that is
started again, has answered before and will again.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from urllib.parse import urlsplit

from gtseg.aws.refusals import NOT_AWS
from gtseg.errors import AWSError

__all__ = ["Contact", "foreign_answer", "no_answer"]

PLACE = "AWS_ENDPOINT_URL (if set)"
"""Where the address of a service is configured, as a rule."""
TRIES = 3
"""Of a server that has never answered."""


class Contact:
    """The servers (host and port) that have given an answer of AWS's in this process; and the last address of each thread."""

    def __init__(self) -> None:
        self._known: set[str] = set()
        self._places: dict[str, str] = {}
        self._last = threading.local()

    def name_place(self, url: str, place: str) -> None:
        """Say in which words the address of a server is configured."""
        self._places[urlsplit(url).netloc] = place

    def place_of(self, url: str) -> str:
        """Where the address is configured, in words."""
        return self._places.get(urlsplit(url).netloc, PLACE)

    def begin(self, url: str) -> None:
        self._last.url = url

    def answered(self, url: str = "") -> None:
        self._known.add(urlsplit(url or self.last).netloc)

    def has_answered(self, url: str = "") -> bool:
        return urlsplit(url or self.last).netloc in self._known

    def count_try(self, url: str) -> int:
        """How often this thread has now asked a server that has never answered, over all calls (botocore may count to one alone)."""
        tries: dict[str, int] = self._last.__dict__.setdefault("tries", {})
        server = urlsplit(url).netloc
        tries[server] = tries.get(server, 0) + 1
        return tries[server]

    @property
    def last(self) -> str:
        """The address that this thread asked last."""
        return str(getattr(self._last, "url", ""))


def foreign_answer(operation: str, url: str, *, status: int, kind: str, body: bytes, place: str = PLACE) -> AWSError:
    """The error for an answer that AWS did not give; final, because asking again meets the same server."""
    address = urlsplit(url)
    said = " ".join(body[:200].decode("utf-8", "replace").split())
    shown = "".join(letter for letter in said if letter.isprintable())[:80]
    what = f"{status} and {kind or 'nothing'}" + (f" ({shown!r})" if shown else "")
    error = AWSError(
        operation,
        NOT_AWS,
        f"{address.scheme}://{address.netloc} answered {what}, which is not an answer of AWS",
        hint=f"{_proxy_words(url)}Is {place} right, and does the network ask you to sign in first?",
    )
    error.is_final = True
    return error


def no_answer(operation: str, url: str, reason: str, *, place: str = PLACE) -> AWSError:
    """The error for a server that has never answered; `place`: where its address is configured."""
    address = urlsplit(url)
    words = reason if address.netloc in reason else f"{address.scheme}://{address.netloc}: {reason}"
    hint = f"{_proxy_words(url)}Is the address reachable, and {place} right?"
    if "CERTIFICATE_VERIFY" in reason:
        hint += " A certificate that no known authority signed is named by ca_bundle of the profile, or AWS_CA_BUNDLE."
    error = AWSError(operation, "ConnectionError", words, hint=hint)
    error.is_final = True
    return error


def _proxy_words(url: str) -> str:
    """Where a proxy is configured, it is the first suspect."""
    name = proxy_variable(url, os.environ)
    if name is None:
        return ""
    host = urlsplit(url).hostname or ""
    return f"{name} sends it through a proxy; to go past it: export NO_PROXY={host}. "


def proxy_variable(url: str, environ: Mapping[str, str]) -> str | None:
    """The variable that leads requests for `url` through a proxy; None where there is none or NO_PROXY names the host."""
    place = urlsplit(url)
    host = (place.hostname or "").lower()
    spared = (environ.get("no_proxy") or environ.get("NO_PROXY") or "").lower().replace(" ", "").split(",")
    if any(entry == "*" or (entry and (host == entry or host.endswith("." + entry.lstrip(".")))) for entry in spared):
        return None
    names = (f"{place.scheme}_proxy", f"{place.scheme.upper()}_PROXY")
    return next((name for name in names if environ.get(name)), None)
