"""Presigned image links of task pages, signed with a key per worker that is revoked with the worker.

The key's secret never leaves the server; a link grants access to one object only. Links for the owner
(RenderUiTemplate) are signed with the owner's key.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass, field
from urllib.parse import quote

from botocore.auth import S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as Keys

from gtseg.local.labeling.workers import Worker
from gtseg.local.storage.objects import split_uri
from gtseg.local.storage.store import Store

LINK_SECONDS = 8 * 3600
"""Validity of a link; a task may take that long."""
PREFIX = "ASIA"
"""AWS's prefix for temporary access keys."""


@dataclass(frozen=True)
class Links:
    """Creates presigned GET links. Source: SigV4 query authentication."""

    base_url: str
    region: str
    access_key: str
    secret_key: str = field(repr=False)

    def presign(self, uri: str) -> str:
        """Return a link to `s3://bucket/key` on this server. Raises ServiceError for any other URI."""
        bucket, key = split_uri(uri)
        path = quote(f"{bucket}/{key}", safe="/~")
        request = AWSRequest("GET", f"{self.base_url.rstrip('/')}/{path}")
        keys = Keys(self.access_key, self.secret_key)
        S3SigV4QueryAuth(keys, "s3", self.region, expires=LINK_SECONDS).add_auth(request)
        return str(request.prepare().url)


def owner_links(store: Store, base_url: str) -> Links:
    """Return links signed with the owner's key."""
    keys = store.credentials
    return Links(base_url, store.region, keys.access_key, keys.secret_key)


def worker_links(store: Store, base_url: str, worker: Worker) -> Links:
    """Return links signed with the worker's key."""
    access_key = f"{PREFIX}{worker.id.upper()}"
    return Links(base_url, store.region, access_key, find_link_secret(store, access_key) or "")


def find_link_secret(store: Store, access_key: str) -> str | None:
    """Return the secret that signs a worker's links; None for a removed worker. It changes with the worker's token."""
    if not access_key.startswith(PREFIX):
        return None
    worker_id = access_key.removeprefix(PREFIX).lower()
    row = store.read().execute("SELECT token, state FROM labeling_workers WHERE id = ?", (worker_id,)).fetchone()
    if row is None or row["state"] == "removed":
        return None
    text = f"picture links {worker_id} {row['token']}"
    return hmac.digest(store.credentials.owner_token.encode(), text.encode(), "sha256").hex()
