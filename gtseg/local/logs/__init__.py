"""CloudWatch Logs of the embedded AWS: what its jobs and endpoints print, kept and read as AWS does it."""

from gtseg.local.logs.events import Event, LogEvents
from gtseg.local.logs.operations import register

__all__ = ["Event", "LogEvents", "register"]
