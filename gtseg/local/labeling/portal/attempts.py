"""Rate limit on wrong tokens per client address, against guessing."""

from __future__ import annotations

import ipaddress
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable

from gtseg.local.errors import ServiceError

ADDRESSES = 10_000
"""Number of addresses tracked; when exceeded, the address whose last failure is oldest is dropped."""


class Attempts:
    """Counts the wrong tokens of each address (of each /64 network for IPv6) within the last `seconds`."""

    def __init__(self, tries: int, seconds: float, *, read_clock: Callable[[], float] = time.time) -> None:
        self.tries, self.seconds, self.read_clock = tries, seconds, read_clock
        self.failures: OrderedDict[str, deque[float]] = OrderedDict()
        self.lock = threading.Lock()

    def check(self, address: str) -> None:
        """Raise ServiceError TooManyRequests 429 if the address has failed `tries` times within the window."""
        with self.lock:
            times = self.failures.get(network_of(address))
            since = self.read_clock() - self.seconds
            failed = times is not None and len(times) >= self.tries and times[0] > since
        if failed:
            raise ServiceError(
                "TooManyRequests", f"Too many wrong links. Try again in {self.seconds:.0f} seconds.", 429
            )

    def count(self, address: str) -> None:
        """Record one wrong token from the address."""
        with self.lock:
            network = network_of(address)
            self.failures.setdefault(network, deque(maxlen=self.tries)).append(self.read_clock())
            self.failures.move_to_end(network)
            if len(self.failures) > ADDRESSES:
                self.failures.popitem(last=False)


def network_of(address: str) -> str:
    """Return the IPv4 address, or the /64 network of an IPv6 address, the smallest block assigned to one subscriber."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped is not None:
            return str(parsed.ipv4_mapped)
        return str(ipaddress.ip_network((int(parsed) >> 64 << 64, 64)))
    return str(parsed)
