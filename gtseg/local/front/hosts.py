"""The names that a server answers for: a browser that was led here under another name (DNS rebinding) gets nothing."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterable

from gtseg.local.errors import ServiceError

__all__ = ["Hosts"]


class Hosts:
    """`names` are those that the owner gave (`--name`); the machine's own name and the address that the client reached count too."""

    def __init__(self, names: Iterable[str] = ()) -> None:
        own = socket.gethostname().lower()
        self.names = frozenset([*(name.lower().rstrip(".") for name in names), own, f"{own}.local"])

    def check(self, host: str, server: str) -> None:
        """`host`: the Host header; `server`: the address at which the connection came in. Raises ServiceError MisdirectedRequest 421."""
        name = split_host(host)
        if name is None or not (name in self.names or is_address_of(name, server)):
            raise ServiceError(
                "MisdirectedRequest",
                f"This server does not answer for the host {host[:100]!r}. If it should: gtseg local up --name NAME.",
                421,
            )


def split_host(host: str) -> str | None:
    """The host without its port, in lower case; None if it is none."""
    name, colon, port = host.rpartition(":") if not host.endswith("]") else (host, "", "")
    if not colon:
        name = host
    elif port and not (port.isascii() and port.isdecimal()):
        return None
    return name.strip("[]").lower().rstrip(".") or None


def is_address_of(name: str, server: str) -> bool:
    """Whether a name is the address at which the client reached the server, or one that means this machine to itself."""
    reached = parse_address(server)
    if reached is None:
        return False
    if reached.is_loopback and (name == "localhost" or name.endswith(".localhost")):
        return True
    address = parse_address(name)
    return address is not None and (address == reached or (address.is_loopback and reached.is_loopback))


def parse_address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """An IP address, an IPv4 one inside IPv6 as itself; None for anything else."""
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address
