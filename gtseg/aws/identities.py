"""Amazon Cognito: names of the members of a private workforce."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from gtseg.aws.clients import Clients
from gtseg.aws.failures import translate

ATTRIBUTES = ("name", "email", "preferred_username")
"""User attributes that serve as a name, in order of preference."""


def find_names(clients: Clients, users: Iterable[tuple[str, str]]) -> dict[tuple[str, str], str]:
    """Return {(user pool, `sub`): name} of the users that were found. Raises AWSError."""
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
