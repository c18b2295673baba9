"""Encryption headers of every object written, for buckets whose policy requires them on each request."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass
from typing import Any

WRITES = ("PutObject", "CopyObject", "CreateMultipartUpload")
READS = ("GetObject", "HeadObject", "ListObjectsV2", "CopyObject")


@dataclass(frozen=True)
class Encryption:
    """Encryption settings. `sse`: AES256, aws:kms or aws:kms:dsse, None for the bucket's default.

    `kms_key`: ID, alias or ARN of the key.
    """

    sse: str | None = None
    kms_key: str | None = None

    @property
    def headers(self) -> dict[str, str]:
        """Headers of PutObject, CopyObject and CreateMultipartUpload."""
        sse = self.sse or ("aws:kms" if self.kms_key else None)
        key = {"x-amz-server-side-encryption-aws-kms-key-id": self.kms_key} if self.kms_key else {}
        return {"x-amz-server-side-encryption": sse, **key} if sse else {}


@dataclass(frozen=True)
class Extras:
    """Adds the headers of the bulk client to boto3's S3 calls."""

    encryption: Encryption
    requester_pays: bool

    def register(self, events: Any) -> None:
        for operation in WRITES:
            events.register(f"before-call.s3.{operation}", self._encrypt)
        for operation in READS:
            events.register(f"before-call.s3.{operation}", self._pay)

    def _encrypt(self, params: MutableMapping[str, Any], **_: Any) -> None:
        _add(params, self.encryption.headers)

    def _pay(self, params: MutableMapping[str, Any], **_: Any) -> None:
        if self.requester_pays:
            _add(params, {"x-amz-request-payer": "requester"})


def _add(params: MutableMapping[str, Any], headers: Mapping[str, str]) -> None:
    for name, value in headers.items():
        params["headers"].setdefault(name, value)
