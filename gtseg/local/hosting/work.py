"""What an endpoint is to run and what it runs, kept so that it outlives its config and models being deleted."""

from __future__ import annotations

import msgspec

from gtseg.local.jobs.records import Record, Work

__all__ = ["Deployment", "EndpointRecord", "EndpointWork", "Variant"]


class Variant(msgspec.Struct, frozen=True):
    """One production variant with all that its container needs."""

    name: str
    weight: float
    image: str
    data: str | None
    """S3 address of the model data."""
    environment: dict[str, str]
    patience: float
    """Seconds that the container may take to pass its first health check."""


class Deployment(msgspec.Struct, frozen=True):
    """An endpoint config, resolved."""

    config: str
    variants: list[Variant]


class EndpointWork(Work, kw_only=True):
    target: Deployment
    """What the endpoint is to run."""
    generation: int
    """Number of that deployment; its containers' folder is called so."""
    deployed: Deployment | None = None
    """What runs; None before the first deployment came up."""
    deployed_generation: int = 0


EndpointRecord = Record[EndpointWork]
