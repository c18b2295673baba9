"""Models, endpoint configs, endpoints and invocations: a model artifact served by a process of its own."""

from gtseg.local.hosting.invocation import invoke
from gtseg.local.hosting.operations import register

__all__ = ["invoke", "register"]
