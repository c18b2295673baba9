"""Workteams and the workforce. A new data folder has one private workforce and one workteam."""

from __future__ import annotations

import ipaddress
import json
from datetime import datetime
from typing import Any

from gtseg.local.clock import read_clock
from gtseg.local.embedded import Embedded
from gtseg.local.errors import ServiceError
from gtseg.local.front.protocol import JsonService
from gtseg.local.jobs.pagination import read_paging
from gtseg.local.jobs.tags import delete_tags, put_tags
from gtseg.local.labeling.records import ACTIVE, to_datetime
from gtseg.local.storage.store import Store

FIRST_TEAM = "gtseg"
WORKFORCE = "default"
MAX_TEAMS = 25
PAGE = 100
POOL = "{region}_gtseglocal"
CLIENT = "gtseglocal"
SORT_COLUMN = {"Name": "name", "CreateDate": "created"}


def make_first_team(embedded: Embedded) -> None:
    """Create the workforce and the first workteam, unless the workforce exists."""
    store, now = embedded.store, read_clock()
    pool = {"UserPool": POOL.format(region=store.region), "ClientId": CLIENT}
    with store.write() as connection:
        if connection.execute("SELECT 1 FROM labeling_workforces").fetchone():
            return
        answer = {"WorkforceName": WORKFORCE, "WorkforceArn": workforce_arn(store), "CognitoConfig": pool}
        connection.execute(
            "INSERT INTO labeling_workforces VALUES (?, ?, ?, ?)", (WORKFORCE, json.dumps(answer), now, now)
        )
        member = {"CognitoMemberDefinition": {**pool, "UserGroup": FIRST_TEAM}}
        add_team(
            store,
            {"WorkteamName": FIRST_TEAM, "MemberDefinitions": [member], "Description": "The first team"},
        )


def workforce_arn(store: Store) -> str:
    return f"arn:aws:sagemaker:{store.region}:{store.account}:workforce/{WORKFORCE}"


def register_teams(service: JsonService, embedded: Embedded) -> None:
    """Register the workteam and workforce operations."""
    store = embedded.store

    @service.operation("CreateWorkteam")
    def create(request: dict[str, Any]) -> dict[str, Any]:
        if request.get("WorkforceName", WORKFORCE) != WORKFORCE:
            raise no_workforce(request["WorkforceName"])
        return {"WorkteamArn": add_team(store, request)}

    @service.operation("DescribeWorkteam")
    def describe(request: dict[str, Any]) -> dict[str, Any]:
        return {"Workteam": describe_team(embedded, find_team(store, request["WorkteamName"]))}

    @service.operation("ListWorkteams")
    def list_teams(request: dict[str, Any]) -> dict[str, Any]:
        column, part = SORT_COLUMN[request.get("SortBy", "Name")], request.get("NameContains", "").lower()
        rows = store.read().execute("SELECT * FROM labeling_teams").fetchall()
        found = [row for row in rows if part in row["name"]]
        page, token = read_paging(request, size=PAGE).select(found, lambda row: (row[column], row["name"]))
        return {"Workteams": [describe_team(embedded, row) for row in page], "NextToken": token}

    @service.operation("UpdateWorkteam")
    def update(request: dict[str, Any]) -> dict[str, Any]:
        return {"Workteam": describe_team(embedded, update_team(store, request))}

    @service.operation("DeleteWorkteam")
    def delete(request: dict[str, Any]) -> dict[str, Any]:
        delete_team(store, request["WorkteamName"])
        return {"Success": True}

    @service.operation("ListSubscribedWorkteams")
    def list_subscribed(request: dict[str, Any]) -> dict[str, Any]:
        return {"SubscribedWorkteams": []}

    register_workforce(service, embedded)


def register_workforce(service: JsonService, embedded: Embedded) -> None:
    store = embedded.store

    @service.operation("DescribeWorkforce")
    def describe(request: dict[str, Any]) -> dict[str, Any]:
        return {"Workforce": describe_workforce(embedded, request["WorkforceName"])}

    @service.operation("ListWorkforces")
    def list_workforces(request: dict[str, Any]) -> dict[str, Any]:
        shown = request.get("NameContains", "").lower() in WORKFORCE
        return {"Workforces": [describe_workforce(embedded, WORKFORCE)] if shown else []}

    @service.operation("UpdateWorkforce")
    def update(request: dict[str, Any]) -> dict[str, Any]:
        update_workforce(store, request)
        return {"Workforce": describe_workforce(embedded, request["WorkforceName"])}


# --- workteams ---


def add_team(store: Store, request: dict[str, Any]) -> str:
    """Store a workteam and return its ARN. Raises ServiceError ResourceInUse, ResourceLimitExceeded."""
    title, now = request["WorkteamName"], read_clock()
    arn = f"arn:aws:sagemaker:{store.region}:{store.account}:workteam/private-crowd/{title}"
    answer = {name: request.get(name) for name in ("MemberDefinitions", "Description", *SETTINGS)}
    check_members(request["MemberDefinitions"])
    with store.write() as connection:
        names = [row["name"] for row in connection.execute("SELECT name FROM labeling_teams")]
        if title.lower() in names:
            raise ServiceError("ResourceInUse", f"A workteam with the name {title!r} already exists.")
        if len(names) >= MAX_TEAMS:
            raise ServiceError("ResourceLimitExceeded", f"There are {len(names)} workteams; the limit is {MAX_TEAMS}.")
        row = (title.lower(), title, arn, json.dumps(answer), now, now)
        connection.execute("INSERT INTO labeling_teams VALUES (?, ?, ?, ?, ?, ?)", row)
        put_tags(store, arn, request.get("Tags"))
    return arn


SETTINGS = ("NotificationConfiguration", "WorkerAccessConfiguration")


def check_members(definitions: list[dict[str, Any]]) -> None:
    for definition in definitions:
        if len(definition) != 1:
            raise ServiceError(
                "ValidationException",
                "Each MemberDefinition must have exactly one of CognitoMemberDefinition and OidcMemberDefinition.",
            )


def find_team(store: Store, title: str) -> Any:
    row = store.read().execute("SELECT * FROM labeling_teams WHERE name = ?", (title.lower(),)).fetchone()
    if row is None:
        raise ServiceError("ValidationException", f"The workteam {title!r} does not exist.")
    return row


def describe_team(embedded: Embedded, row: Any) -> dict[str, Any]:
    return {
        "WorkteamName": row["title"],
        "WorkteamArn": row["arn"],
        "WorkforceArn": workforce_arn(embedded.store),
        "SubDomain": sub_domain(embedded),
        "CreateDate": to_datetime(row["created"]),
        "LastUpdatedDate": to_datetime(row["modified"]),
        **json.loads(row["answer"]),
    }


def sub_domain(embedded: Embedded) -> str:
    """Return the host of the workers' portal, which is this server."""
    return embedded.url.partition("://")[2] or "localhost"


def update_team(store: Store, request: dict[str, Any]) -> Any:
    row = find_team(store, request["WorkteamName"])
    changes = {name: request[name] for name in ("MemberDefinitions", "Description", *SETTINGS) if name in request}
    check_members(request.get("MemberDefinitions", []))
    answer = json.dumps({**json.loads(row["answer"]), **changes})
    with store.write() as connection:
        connection.execute(
            "UPDATE labeling_teams SET answer = ?, modified = ? WHERE name = ?",
            (answer, read_clock(), row["name"]),
        )
    return find_team(store, row["name"])


def delete_team(store: Store, title: str) -> None:
    """Delete a workteam and remove its workers. Raises ServiceError while a job of the team is in progress."""
    row = find_team(store, title)
    with store.write() as connection:
        busy = connection.execute(
            f"SELECT title FROM labeling_jobs WHERE team_arn = ? AND status IN {ACTIVE}", (row["arn"],)
        ).fetchone()
        if busy is not None:
            raise ServiceError(
                "ValidationException",
                f"The workteam {title!r} is in use by the labeling job {busy['title']!r}.",
            )
        connection.execute("DELETE FROM labeling_teams WHERE name = ?", (row["name"],))
        connection.execute("UPDATE labeling_workers SET state = 'removed', token = id WHERE team = ?", (row["name"],))
        delete_tags(store, row["arn"])


# --- workforce ---


def no_workforce(name: str) -> ServiceError:
    return ServiceError("ValidationException", f"The workforce {name!r} does not exist; the only one is {WORKFORCE!r}.")


def describe_workforce(embedded: Embedded, name: str) -> dict[str, Any]:
    row = embedded.store.read().execute("SELECT * FROM labeling_workforces WHERE name = ?", (name.lower(),)).fetchone()
    if row is None:
        raise no_workforce(name)
    dates: dict[str, datetime] = {
        "CreateDate": to_datetime(row["created"]),
        "LastUpdatedDate": to_datetime(row["modified"]),
    }
    return {**json.loads(row["answer"]), **dates, "SubDomain": sub_domain(embedded), "Status": "Active"}


def update_workforce(store: Store, request: dict[str, Any]) -> None:
    """Set the allowed source addresses, which the portal enforces. Identity providers and VPCs are not supported."""
    name = request["WorkforceName"]
    for field in ("OidcConfig", "WorkforceVpcConfig", "IpAddressType"):
        if field in request:
            raise ServiceError("ValidationException", f"{field} is not supported by the embedded AWS.")
    ranges = request.get("SourceIpConfig", {}).get("Cidrs", [])
    for text in ranges:
        try:
            ipaddress.ip_network(text)
        except ValueError as error:
            raise ServiceError("ValidationException", f"{text!r} is not a CIDR: {error}") from None
    with store.write() as connection:
        row = connection.execute("SELECT answer FROM labeling_workforces WHERE name = ?", (name.lower(),)).fetchone()
        if row is None:
            raise no_workforce(name)
        answer = json.loads(row["answer"])
        if "SourceIpConfig" in request:
            answer["SourceIpConfig"] = {"Cidrs": ranges}
        connection.execute(
            "UPDATE labeling_workforces SET answer = ?, modified = ? WHERE name = ?",
            (json.dumps(answer), read_clock(), name.lower()),
        )


def allowed_sources(store: Store) -> list[str]:
    """Return the CIDRs from which workers may connect; [] allows any address."""
    row = store.read().execute("SELECT answer FROM labeling_workforces").fetchone()
    found: list[str] = json.loads(row["answer"]).get("SourceIpConfig", {}).get("Cidrs", []) if row else []
    return found
