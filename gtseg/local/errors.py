"""The one error that every service of the embedded AWS raises: AWS's own code, message and HTTP status."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["ServiceError"]


class ServiceError(Exception):
    """An answer that is an AWS error. `code` is what a client dispatches on, `status` the HTTP status.

    `fields` are further members of the answer, e.g. S3's `Key` or `BucketName`; `headers` come with it; a `body` stands
    instead of the error document.
    """

    def __init__(
        self,
        code: str,
        message: str,
        status: int = 400,
        *,
        fields: dict[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
    ) -> None:
        super().__init__(f"{code}: {message}")
        self.code, self.message, self.status = code, message, status
        self.fields, self.headers, self.body = fields or {}, dict(headers or {}), body
