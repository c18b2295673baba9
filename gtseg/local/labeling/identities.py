"""Amazon Cognito's ListUsers, limited to resolving the `sub` in worker responses to members of a private team.

Source: Cognito user pools API reference, ListUsers: `Filter` of the form `sub = "..."` (AttributeName, = or ^=).
"""

from __future__ import annotations

import re
from typing import Any

from gtseg.local.embedded import Embedded
from gtseg.local.errors import ServiceError
from gtseg.local.front.protocol import JsonService
from gtseg.local.labeling.records import to_datetime

POOL = "gtseglocal"
"""Name part of the pool's id, <region>_<POOL>, as in the issuer of worker responses."""
PAGE = 60
COLUMNS = {"sub": "subject", "name": "name", "username": "id"}
FILTER = re.compile(r"""\s*([a-z_]+)\s*(=|\^=)\s*"((?:[^"\\]|\\.)*)"\s*""")


def register(service: JsonService, embedded: Embedded) -> None:
    """Register ListUsers of the server's only user pool."""
    store = embedded.store

    @service.operation("ListUsers")
    def list_users(request: dict[str, Any]) -> dict[str, Any]:
        if request["UserPoolId"] != f"{store.region}_{POOL}":
            raise ServiceError("ResourceNotFoundException", f"User pool {request['UserPoolId']} does not exist.")
        where, value = read_filter(request.get("Filter", ""))
        limit, start = int(request.get("Limit", PAGE)), read_token(request.get("PaginationToken"))
        rows = (
            store.read()
            .execute(
                f"SELECT * FROM labeling_workers WHERE {where} ORDER BY id LIMIT ? OFFSET ?", (*value, limit + 1, start)
            )
            .fetchall()
        )
        token = {"PaginationToken": str(start + limit)} if len(rows) > limit else {}
        wanted = request.get("AttributesToGet")
        return {"Users": [describe_user(row, wanted) for row in rows[:limit]], **token}


def read_token(token: str | None) -> int:
    """Return the offset of a pagination token. Raises ServiceError InvalidParameterException."""
    if token is None:
        return 0
    if not (token.isascii() and token.isdecimal() and len(token) < 10):
        raise ServiceError("InvalidParameterException", "The pagination token is not valid.")
    return int(token)


def read_filter(text: str) -> tuple[str, tuple[str, ...]]:
    """Return a SQL condition and its values. Raises ServiceError InvalidParameterException."""
    if not text:
        return "1", ()
    found = FILTER.fullmatch(text)
    if found is None or found[1] not in COLUMNS:
        raise ServiceError("InvalidParameterException", "Error while parsing filter.")
    column, value = COLUMNS[found[1]], re.sub(r"\\(.)", r"\1", found[3])
    if found[2] == "=":
        return f"{column} = ?", (value,)
    return f"substr({column}, 1, length(?)) = ?", (value, value)


def describe_user(row: Any, wanted: list[str] | None) -> dict[str, Any]:
    """Return one UserType with the `wanted` attributes; None for all."""
    created = to_datetime(row["created"])
    known = {"sub": row["subject"], "name": row["name"]}
    return {
        "Username": row["id"],
        "Attributes": [
            {"Name": name, "Value": value} for name, value in known.items() if wanted is None or name in wanted
        ],
        "UserCreateDate": created,
        "UserLastModifiedDate": created,
        "Enabled": row["state"] != "removed",
        "UserStatus": "CONFIRMED",
    }
