"""Counts wrong tokens per address, so that secrets cannot be guessed at speed."""

from __future__ import annotations

import ipaddress
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable

from gtseg.local.errors import ServiceError

__all__ = ["Attempts"]

ADDRESSES = 10_000  # remembered at once; the one that failed longest ago is forgotten first


class Attempts:
    """Wrong tokens of each address (of each /64 network for IPv6) in the last `seconds`."""

    def __init__(self, tries: int, seconds: float, *, read_clock: Callable[[], float] = time.time) -> None:
        self.tries, self.seconds, self.read_clock = tries, seconds, read_clock
        self.failures: OrderedDict[str, deque[float]] = OrderedDict()
        self.lock = threading.Lock()

    def check(self, address: str) -> None:
        """Raises ServiceError TooManyRequests 429 if the address has failed too often."""
        with self.lock:
            times = self.failures.get(network_of(address))
            since = self.read_clock() - self.seconds
            failed = times is not None and len(times) >= self.tries and times[0] > since
        if failed:
            raise ServiceError(
                "TooManyRequests", f"Too many wrong links. Try again in {self.seconds:.0f} seconds.", 429
            )

    def count(self, address: str) -> None:
        """Note one wrong token."""
        with self.lock:
            network = network_of(address)
            self.failures.setdefault(network, deque(maxlen=self.tries)).append(self.read_clock())
            self.failures.move_to_end(network)
            if len(self.failures) > ADDRESSES:
                self.failures.popitem(last=False)


def network_of(address: str) -> str:
    """The address itself; of IPv6 the /64 network, which one subscriber has to itself."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped is not None:
            return str(parsed.ipv4_mapped)
        return str(ipaddress.ip_network((int(parsed) >> 64 << 64, 64)))
    return str(parsed)
