"""The health address, `GET /_gtseg/health`: what anybody may know of a server, no key and no name of a job among it.

    {"status": "ok", "ready": true, "version": "0.2.0", "region": "us-east-1",
     "only": null | "labeling",                    what is served (gtseg local up --only)
     "storage": {"kind": "folder" | "s3",          where objects are (--s3)
                 "endpoint": null | "https://minio.lan:9000",
                 "reachable": true,
                 "reason": null | "why not",
                 "since": null | "2026-11-30T00:00:00Z"},
     "backlog": {"objects": 0}}                    labeled by people, and not yet written to the storage

`ready` stays true while the storage is away: work that is handed out goes on, and answers are kept.
"""

from __future__ import annotations

from typing import Any

from gtseg.local.embedded import Embedded
from gtseg.local.labeling.records import count_backlog
from gtseg.local.storage.layout import own_version

__all__ = ["describe_health"]


def describe_health(embedded: Embedded) -> dict[str, Any]:
    """The document of the health address."""
    return {
        "status": "ok",
        "ready": True,
        "version": own_version(),
        "region": embedded.store.region,
        "only": embedded.options.only or None,
        "storage": embedded.objects.state().describe(),
        "backlog": {"objects": count_backlog(embedded.store)},
    }
