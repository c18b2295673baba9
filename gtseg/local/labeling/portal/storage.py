"""State of the object storage for the owner: reachability, pending writes, and the server's permissions."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from starlette.routing import BaseRoute

from gtseg.local.errors import ServiceError
from gtseg.local.labeling.portal.gate import Call, Gate
from gtseg.local.labeling.records import count_backlog, make_job
from gtseg.local.storage.objects import Objects, split_uri
from gtseg.local.storage.store import Store

API = "/_portal/api/owner/storage"
MAX_PLACES = 100
JOBS = 20
"""Number of latest jobs whose locations are checked if the request names none."""


def describe_storage(store: Store, objects: Objects) -> dict[str, Any]:
    """Return the storage state, as in the health response, and `waiting`, the number of objects not yet written."""
    return {**objects.state().describe(), "waiting": count_backlog(store)}


def storage_routes(gate: Gate) -> list[BaseRoute]:
    """Return the routes that show the storage state and check permissions."""
    store, objects = gate.store, gate.embedded.objects

    def show(call: Call) -> dict[str, Any]:
        return describe_storage(store, objects)

    def check(call: Call) -> dict[str, Any]:
        given = call.json().get("places", [])
        if not isinstance(given, list) or not all(isinstance(item, str) for item in given) or len(given) > MAX_PLACES:
            raise ServiceError(
                "InvalidRequest", f'Send {{"places": ["s3://bucket/prefix", ...]}}, at most {MAX_PLACES}.'
            )
        places = {split_uri(uri): True for uri in given} or list_places(store)
        rights = [right for place, writes in places.items() for right in objects.check_rights(*place, writes=writes)]
        return {"storage": describe_storage(store, objects), "rights": [asdict(right) for right in rights]}

    return [
        gate.route("GET", API, show, audience="owner"),
        gate.route("POST", f"{API}/check", check, audience="owner"),
    ]


def list_places(store: Store) -> dict[tuple[str, str], bool]:
    """Return (bucket, prefix) -> whether jobs write there, for inputs, images and outputs of the latest jobs."""
    places: dict[tuple[str, str], bool] = {}
    for row in store.read().execute("SELECT * FROM labeling_jobs ORDER BY created DESC LIMIT ?", (JOBS,)).fetchall():
        job = make_job(row)
        image = store.read().execute("SELECT uri FROM labeling_objects WHERE job = ? LIMIT 1", (job.name,)).fetchone()
        inputs = [job.request["InputConfig"]["DataSource"]["S3DataSource"]["ManifestS3Uri"], *(image or ())]
        for uri in inputs:
            bucket, key = split_uri(uri)
            places.setdefault((bucket, key.rpartition("/")[0] + "/" * ("/" in key)), False)
        bucket, prefix = split_uri(job.request["OutputConfig"]["S3OutputPath"])
        places[bucket, prefix.rstrip("/") + "/" if prefix else ""] = True
    return places
