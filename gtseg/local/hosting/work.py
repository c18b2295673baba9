"""Deployments of endpoints, stored so that they survive deletion of their configuration and models."""

from __future__ import annotations

import msgspec

from gtseg.local.jobs.records import Record, Work


class Variant(msgspec.Struct, frozen=True):
    """A production variant with everything that its container needs."""

    name: str
    weight: float
    image: str
    data: str | None
    """S3 URI of the model data."""
    environment: dict[str, str]
    patience: float
    """Seconds within which the container must pass its first health check."""


class Deployment(msgspec.Struct, frozen=True):
    """A resolved endpoint configuration."""

    config: str
    variants: list[Variant]


class EndpointWork(Work, kw_only=True):
    """Internal state of an endpoint."""

    target: Deployment
    """The deployment to run."""
    generation: int
    """Number of that deployment, which is the name of its containers' folder."""
    deployed: Deployment | None = None
    """The deployment that runs; None before the first one is ready."""
    deployed_generation: int = 0


EndpointRecord = Record[EndpointWork]
