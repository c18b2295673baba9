"""[images]: what is labeled."""

from __future__ import annotations

from pydantic import field_validator

from gtseg.settings.table import Table


class Images(Table):
    source: str | None = None
    """s3://bucket/prefix/ | a local folder, relative to gtseg.toml, that is uploaded | an input manifest (.manifest, .jsonl)."""
    requester_pays: bool = False
    """Read buckets whose requester pays: AWS bills the requests and the transfer to your account."""

    @field_validator("source")
    @classmethod
    def _be_something(cls, source: str | None) -> str | None:
        if source is not None and not source.strip():
            raise ValueError("write an s3:// prefix, a folder, or an input manifest")
        if source and "://" in source and not source.startswith("s3://"):
            raise ValueError("only s3:// addresses, local folders and manifests can be read")
        return source
