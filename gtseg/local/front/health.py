"""Health document, `GET /_gtseg/health`: public, without keys or names of jobs.

    {"status": "ok", "ready": true, "version": "0.2.0", "region": "us-east-1",
     "only": null | "labeling",                    what is served (gtseg local up --only)
     "storage": {"kind": "folder" | "s3",          where objects are stored (--s3)
                 "endpoint": null | "https://minio.lan:9000",
                 "reachable": true,
                 "reason": null | "why it is unavailable",
                 "since": null | "2026-11-30T00:00:00Z"},
     "backlog": {"objects": 0}}                    labeled, not yet written to the storage

`ready` stays true while the storage is unavailable: assigned tasks continue, and answers are kept.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

from gtseg.local.embedded import Embedded
from gtseg.local.labeling.records import count_backlog
from gtseg.local.storage.layout import installed_version
from gtseg.local.storage.objects import StorageState

ADDRESS = re.compile(r"https?://[^\s\"']*[^\s\"':,.;]")
NAMES = re.compile(r"\"arn:[^\"]*\"|arn:\S+|s3://\S+")
DAMAGE = re.compile(r"(arrived incomplete or damaged).*", re.DOTALL)


def describe_health(embedded: Embedded) -> dict[str, Any]:
    """Return the health document."""
    return {
        "status": "ok",
        "ready": True,
        "version": installed_version(),
        "region": embedded.store.region,
        "only": embedded.options.only or None,
        "storage": redact_names(embedded.objects.state()).describe(),
        "backlog": {"objects": count_backlog(embedded.store)},
    }


def redact_names(state: StorageState) -> StorageState:
    """Remove names of buckets, objects, jobs, accounts and roles, which S3's errors contain.

    The owner's page shows them.
    """
    reason = ADDRESS.sub(lambda _: state.endpoint, state.reason)
    return replace(state, reason=DAMAGE.sub(r"\1", NAMES.sub("...", reason)))
