"""Host names that a server answers for; others are rejected, which prevents DNS rebinding."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterable

from gtseg.local.errors import ServiceError


class Hosts:
    """Accepted hosts: `names` (`--name`), the machine's own name, and the address at which the client connected."""

    def __init__(self, names: Iterable[str] = ()) -> None:
        own = socket.gethostname().lower()
        self.names = frozenset([*(name.lower().rstrip(".") for name in names), own, f"{own}.local"])

    def check(self, host: str, server: str) -> None:
        """Check a Host header against the local address `server` of the connection.

        Raises ServiceError MisdirectedRequest 421.
        """
        name = _split_host(host)
        if name is None or not (name in self.names or _is_address_of(name, server)):
            raise ServiceError(
                "MisdirectedRequest",
                f"This server does not accept the host name {host[:100]!r}. To accept it, start the server with "
                "gtseg local up --name NAME.",
                421,
            )


def _split_host(host: str) -> str | None:
    """Return the host without its port, in lower case; None if it is invalid."""
    name, colon, port = host.rpartition(":") if not host.endswith("]") else (host, "", "")
    if not colon:
        name = host
    elif port and not (port.isascii() and port.isdecimal()):
        return None
    return name.strip("[]").lower().rstrip(".") or None


def _is_address_of(name: str, server: str) -> bool:
    """Return whether a name is the address at which the client connected, or a loopback name for a
    loopback connection.
    """
    reached = _parse_address(server)
    if reached is None:
        return False
    if reached.is_loopback and (name == "localhost" or name.endswith(".localhost")):
        return True
    address = _parse_address(name)
    return address is not None and (address == reached or (address.is_loopback and reached.is_loopback))


def _parse_address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """Parse an IP address; IPv4-mapped IPv6 becomes IPv4; None if invalid."""
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address
