"""Hosting: models, endpoint configurations, endpoints and invocations; each variant has its own serving process."""

from gtseg.local.hosting.invocation import invoke
from gtseg.local.hosting.operations import register

__all__ = ["invoke", "register"]
