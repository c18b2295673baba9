"""What a job does when nobody follows it any more, and how to come back to it."""

from __future__ import annotations

from gtseg.aws.clients import Clients

__all__ = ["how_to_resume"]


def how_to_resume(
    name: str, clients: Clients, *, command: str, verb: str = "goes on", otherwise: str = ""
) -> str:
    """`name` goes on by itself, unless its AWS ends with this command; `otherwise` is another way out."""
    if clients.ends_with_command:
        return (
            f"{name} rests as soon as `gtseg local exec` ends, and goes on with `gtseg local exec -- {command}`, "
            "or under `gtseg local up`."
        )
    return f"{name} {verb} by itself; come back with `{command}`{otherwise}."
