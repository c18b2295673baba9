"""[images]: images to label."""

from __future__ import annotations

from gtseg.settings.table import Location, Table


class Images(Table):
    source: Location | None = None
    """An s3:// prefix, a local folder relative to gtseg.toml (it is uploaded), or an input manifest (.manifest,
    .jsonl)."""
    requester_pays: bool = False
    """Read requester-pays buckets: AWS bills the requests and the transfer to your account."""
