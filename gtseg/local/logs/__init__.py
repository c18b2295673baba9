"""CloudWatch Logs of the embedded AWS: output of its jobs and endpoints, stored and read as on AWS."""

from gtseg.local.logs.events import Event, LogEvents
from gtseg.local.logs.operations import register

__all__ = ["Event", "LogEvents", "register"]
