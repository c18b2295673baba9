"""Tags of SageMaker resources: AddTags, ListTags, DeleteTags."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

from gtseg.local.embedded import Embedded
from gtseg.local.errors import ServiceError
from gtseg.local.front.protocol import JsonService
from gtseg.local.jobs.pagination import read_paging
from gtseg.local.jobs.records import Record, Records, Work
from gtseg.local.storage.store import Store

W = TypeVar("W", bound=Work)
MAX_TAGS = 50
MIN_PAGE = 50
"""Minimum page size of ListTags (service model)."""
DDL = """
CREATE TABLE IF NOT EXISTS tags (
    arn TEXT NOT NULL, key TEXT NOT NULL, value TEXT NOT NULL, PRIMARY KEY (arn, key)
) WITHOUT ROWID;
"""


def register(service: JsonService, embedded: Embedded) -> None:
    """Create the table and register the three operations."""
    store = embedded.store
    store.create(DDL)

    @service.operation("AddTags")
    def add_tags(request: dict[str, Any]) -> dict[str, Any]:
        put_tags(store, request["ResourceArn"], request["Tags"])
        return {"Tags": tags_of(store, request["ResourceArn"])}

    @service.operation("ListTags")
    def list_tags(request: dict[str, Any]) -> dict[str, Any]:
        tags = tags_of(store, request["ResourceArn"])
        page, token = read_paging(request, size=MIN_PAGE).select(tags, lambda tag: (tag["Key"],))
        return {"Tags": page, "NextToken": token}

    @service.operation("DeleteTags")
    def delete(request: dict[str, Any]) -> dict[str, Any]:
        delete_tags(store, request["ResourceArn"], request["TagKeys"])
        return {}


def store_new(
    records: Records[W], record: Record[W], *, tags: Sequence[dict[str, str]] | None, taken: ServiceError
) -> str:
    """Store a new resource with its tags; return its ARN. Raises `taken` if the name is taken."""
    arn = records.arn(record.name)
    with records.store.write():
        if not records.add(record):
            raise taken
        put_tags(records.store, arn, tags)
    return arn


def forget(records: Records[W], name: str) -> bool:
    """Remove a resource and its tags; return False if it does not exist."""
    with records.store.write():
        is_removed = records.remove(name)
        delete_tags(records.store, records.arn(name))
    return is_removed


def put_tags(store: Store, arn: str, tags: Sequence[dict[str, str]] | None) -> None:
    """Add or overwrite tags `[{"Key":, "Value":}, ...]` of a resource: at most 50, none starting with `aws:`."""
    if not tags:
        return
    _prepare(store)
    for tag in tags:
        if tag["Key"].lower().startswith("aws:"):
            raise ServiceError("ValidationException", "System tags with the prefix 'aws:' cannot be added by a user.")
    with store.write() as connection:
        connection.executemany(
            "INSERT OR REPLACE INTO tags VALUES (?, ?, ?)", [(arn, tag["Key"], tag["Value"]) for tag in tags]
        )
        count = connection.execute("SELECT count(*) FROM tags WHERE arn = ?", (arn,)).fetchone()[0]
        if count > MAX_TAGS:
            raise ServiceError(
                "ValidationException", f"The resource would have {count} tags; the maximum is {MAX_TAGS}."
            )


def tags_of(store: Store, arn: str) -> list[dict[str, str]]:
    """Return the resource's tags, sorted by key."""
    _prepare(store)
    rows = store.read().execute("SELECT key, value FROM tags WHERE arn = ? ORDER BY key", (arn,))
    return [{"Key": row["key"], "Value": row["value"]} for row in rows]


def delete_tags(store: Store, arn: str, keys: Sequence[str] | None = None) -> None:
    """Remove some of a resource's tags, or all of them."""
    _prepare(store)
    with store.write() as connection:
        if keys is None:
            connection.execute("DELETE FROM tags WHERE arn = ?", (arn,))
        else:
            connection.executemany("DELETE FROM tags WHERE arn = ? AND key = ?", [(arn, key) for key in keys])


def _prepare(store: Store) -> None:
    """Create the table if it is missing; SQLite's executescript would commit the caller's transaction."""
    if not store.read().execute("SELECT 1 FROM sqlite_master WHERE name = 'tags'").fetchone():
        store.create(DDL)
