"""What every service of the embedded AWS is given, and the options of one server."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from gtseg.local.options import ServerOptions
from gtseg.local.storage.objects import Objects
from gtseg.local.storage.store import Store

__all__ = ["Component", "Embedded", "Options"]


@dataclass(frozen=True)
class Options(ServerOptions):
    """How one server behaves; nothing here is kept in the data folder."""

    head_seconds: float = 30.0
    """A client may take to send a request's head, before it is hung up on."""
    idle_seconds: float = 60.0
    """A client may be silent in the middle of a body, before it is told RequestTimeout."""
    names: tuple[str, ...] = ()
    """Host names that the server answers for, beside its addresses."""
    s3: str = ""
    """Where objects are: "" (the data folder), "aws", or the URL of an S3 service."""
    s3_profile: str = ""
    """The AWS profile whose credentials, region and S3 settings are used with `s3`; "": as boto3 finds them."""
    cache_gb: float = 10.0
    """Most that the data folder's cache holds of objects with `s3`, 10^9 bytes."""
    only: str = ""
    """"labeling": only labeling's operations and the portal are served; "": everything."""
    trusted_proxies: tuple[str, ...] = ()
    """Addresses or networks whose X-Forwarded-For and -Proto count."""


class Component(Protocol):
    """A service's background work: it lives between `start` and `stop`; `stop` returns within seconds."""

    def start(self) -> None: ...

    def stop(self) -> None: ...


@dataclass
class Embedded:
    """One running embedded AWS: its store, its S3, its options and the URL that clients use."""

    store: Store
    objects: Objects
    options: Options = field(default_factory=Options)
    url: str = ""
    waiting_objects: Objects | None = None

    @property
    def patient(self) -> Objects:
        """The objects for background jobs: a call waits while the storage is away, where `objects` raises StorageAway."""
        return self.waiting_objects or self.objects
