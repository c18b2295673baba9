"""Amazon Cognito: the names of a private workforce's people."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from gtseg.aws.clients import Clients
from gtseg.aws.failures import translate

__all__ = ["find_names"]

ATTRIBUTES = ("name", "email", "preferred_username")
"""What a person is called by, the first that is there."""


def find_names(clients: Clients, users: Iterable[tuple[str, str]]) -> dict[tuple[str, str], str]:
    """(user pool, `sub`) -> name, of those that are found. Raises AWSError."""
    found: dict[tuple[str, str], str] = {}
    for pool, subject in users:
        words = subject.replace("\\", "\\\\").replace('"', '\\"')
        with translate("ListUsers"):
            answer = clients.identities.list_users(UserPoolId=pool, Filter=f'sub = "{words}"', Limit=1)
        for user in answer.get("Users", []):
            found[pool, subject] = _name_of(user)
    return found


def _name_of(user: dict[str, Any]) -> str:
    given = {item["Name"]: item.get("Value", "") for item in user.get("Attributes", [])}
    return next((given[name] for name in ATTRIBUTES if given.get(name)), str(user.get("Username", "")))
