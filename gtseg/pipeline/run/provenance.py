"""Provenance of results: in run.json beside the result, and as tags on AWS resources."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from gtseg.pipeline.run.frozen import Frozen
from gtseg.settings import Settings
from gtseg.version import __version__

RUN_TAG, ROOT_TAG, VERSION_TAG = "gtseg:run", "gtseg:root", "gtseg:version"
EXPIRES_TAG = "gtseg:expires"
"""Expiry of an endpoint, used by `serve` and `cleanup --expired`."""
TAG_VALUE = 256
"""Maximum length of a tag's value (API, Tag)."""
SECRET = ("environment",)
"""Settings whose values may be secrets: stored as digests, so that changes are still detected."""


class Provenance(Frozen):
    """Inputs of one result."""

    gtseg: str
    """Version of gtseg that made it."""
    settings: dict[str, dict[str, Any]]
    """The settings tables that it depends on at that time, including defaults."""
    sources: dict[str, str] = {}
    """By kind: URIs, ETags, fingerprints and names of the inputs."""


def provenance(settings: Settings, *tables: str, **sources: str | None) -> Provenance:
    """Return a snapshot of these tables and the known sources."""
    dumped = settings.model_dump(mode="json", include=set(tables))
    kept = {name: _without_secrets(table) for name, table in dumped.items()}
    known = {kind: value for kind, value in sources.items() if value}
    return Provenance(gtseg=__version__, settings=kept, sources=known)


def lineage_tags(root: str, **sources: str | None) -> dict[str, str]:
    """Return tags for a resource: the run's root, gtseg's version, and `gtseg:<kind>` for each known source.

    They are added after fingerprinting, so that another version of gtseg still adopts the resource.
    """
    known = {f"gtseg:{kind.replace('_', '-')}": value for kind, value in sources.items() if value}
    return {key: value[:TAG_VALUE] for key, value in {ROOT_TAG: root, VERSION_TAG: __version__, **known}.items()}


def with_tags(request: Mapping[str, Any], tags: Mapping[str, str]) -> dict[str, Any]:
    """Return the request with these tags added; existing tags are kept."""
    there = list(request.get("Tags", []))
    taken = {tag["Key"] for tag in there}
    more = [{"Key": key, "Value": value} for key, value in tags.items() if key not in taken]
    return {**request, "Tags": there + more}


def _without_secrets(table: Mapping[str, Any]) -> dict[str, Any]:
    def digest(value: Any) -> str:
        return "sha256:" + hashlib.sha256(str(value).encode()).hexdigest()[:12]

    return {
        key: {name: digest(item) for name, item in value.items()} if key in SECRET and value else value
        for key, value in table.items()
    }
