"""[images]: images to label."""

from __future__ import annotations

from pydantic import field_validator

from gtseg.settings.table import Table


class Images(Table):
    source: str | None = None
    """An s3:// prefix, a local folder relative to gtseg.toml (it is uploaded), or an input manifest (.manifest,
    .jsonl)."""
    requester_pays: bool = False
    """Read requester-pays buckets: AWS bills the requests and the transfer to your account."""

    @field_validator("source")
    @classmethod
    def _check_scheme(cls, source: str | None) -> str | None:
        if source is not None and not source.strip():
            raise ValueError("must be an s3:// prefix, a folder or an input manifest")
        if source and "://" in source and not source.startswith("s3://"):
            raise ValueError("must be an s3:// address, a local folder or a manifest; other schemes are not supported")
        return source
