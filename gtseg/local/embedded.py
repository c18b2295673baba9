"""Context of every service of the embedded AWS, and the options of a server."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from gtseg.local.options import ServerOptions
from gtseg.local.storage.objects import Objects
from gtseg.local.storage.store import Store


@dataclass(frozen=True)
class Options(ServerOptions):
    """Options of a server; none is stored in the data folder."""

    head_seconds: float = 30.0
    """Time limit for a request's head; the connection is closed after it."""
    idle_seconds: float = 60.0
    """Time limit without data within a body; RequestTimeout after it."""
    names: tuple[str, ...] = ()
    """Host names that the server accepts in addition to its addresses."""
    s3: str = ""
    """Location of the objects: "" (the data folder), "aws", or the URL of an S3 service."""
    s3_profile: str = ""
    """AWS profile with the credentials, region and S3 settings for `s3`; "": boto3's default chain."""
    cache_gb: float = 10.0
    """Maximum size of the disk cache with `s3`, in 10^9 bytes."""
    only: str = ""
    """"labeling": only labeling's operations and the portal are served; "": everything."""
    trusted_proxies: tuple[str, ...] = ()
    """Addresses or networks of proxies whose X-Forwarded-For and -Proto are trusted."""


class Component(Protocol):
    """Background work of a service, running between `start` and `stop`; `stop` returns within seconds."""

    def start(self) -> None: ...

    def stop(self) -> None: ...


@dataclass
class Embedded:
    """A running embedded AWS: its store, objects, options and public URL."""

    store: Store
    objects: Objects
    options: Options = field(default_factory=Options)
    url: str = ""
    waiting_objects: Objects | None = None

    @property
    def background_objects(self) -> Objects:
        """Objects for background jobs: calls wait while the storage is unavailable."""
        return self.waiting_objects or self.objects
