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

import re
from dataclasses import replace
from typing import Any

from gtseg.local.embedded import Embedded
from gtseg.local.labeling.records import count_backlog
from gtseg.local.storage.layout import own_version
from gtseg.local.storage.objects import StorageState

__all__ = ["describe_health", "redact_names"]

ADDRESS = re.compile(r"https?://[^\s\"']*[^\s\"':,.;]")
NAMES = re.compile(r"\"arn:[^\"]*\"|arn:\S+|s3://\S+")
DAMAGE = re.compile(r"(did not arrive whole).*", re.DOTALL)


def describe_health(embedded: Embedded) -> dict[str, Any]:
    """The document of the health address."""
    return {
        "status": "ok",
        "ready": True,
        "version": own_version(),
        "region": embedded.store.region,
        "only": embedded.options.only or None,
        "storage": redact_names(embedded.objects.state()).describe(),
        "backlog": {"objects": count_backlog(embedded.store)},
    }


def redact_names(state: StorageState) -> StorageState:
    """The state without names of buckets, objects, jobs, accounts and roles, which errors of S3 hold. The owner's page has them."""
    reason = ADDRESS.sub(lambda _: state.endpoint, state.reason)
    return replace(state, reason=DAMAGE.sub(r"\1", NAMES.sub("...", reason)))
