"""Where a result comes from: in run.json beside the result, and as tags on what AWS keeps."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from gtseg.pipeline.run.frozen import Frozen
from gtseg.settings import Settings
from gtseg.version import __version__

RUN_TAG, ROOT_TAG, VERSION_TAG = "gtseg:run", "gtseg:root", "gtseg:version"
EXPIRES_TAG = "gtseg:expires"
"""When an endpoint has outlived its time: `serve` and `cleanup --expired` go by it."""
TAG_VALUE = 256
"""Characters of a tag's value (API, Tag)."""
SECRET = ("environment",)
"""Settings whose values may be secrets: kept as digests, so that a change is still seen."""


class Provenance(Frozen):
    """What one result was made from."""

    gtseg: str
    """Version of gtseg that made it."""
    settings: dict[str, dict[str, Any]]
    """The tables of gtseg.toml that it depends on, as they were then, defaults included."""
    sources: dict[str, str] = {}
    """By kind: addresses, ETags, fingerprints and names of what went in."""


def provenance(settings: Settings, *tables: str, **sources: str | None) -> Provenance:
    """A snapshot of these tables, and the sources that are known."""
    dumped = settings.model_dump(mode="json", include=set(tables))
    kept = {name: _without_secrets(table) for name, table in dumped.items()}
    known = {kind: value for kind, value in sources.items() if value}
    return Provenance(gtseg=__version__, settings=kept, sources=known)


def lineage_tags(root: str, **sources: str | None) -> dict[str, str]:
    """Tags for a resource: the run's root, gtseg's version, and a `gtseg:<kind>` for each source that is known.

    They are added after the request was fingerprinted: another version of gtseg still adopts what it finds.
    """
    known = {f"gtseg:{kind.replace('_', '-')}": value for kind, value in sources.items() if value}
    return {key: value[:TAG_VALUE] for key, value in {ROOT_TAG: root, VERSION_TAG: __version__, **known}.items()}


def with_tags(request: Mapping[str, Any], tags: Mapping[str, str]) -> dict[str, Any]:
    """The request with these tags added; those that it has already stay as they are."""
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
