"""ServiceError, the exception that every service of the embedded AWS raises: an AWS error code, message and HTTP
status.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

IN_USE_CODE = 75
"""Exit code of `gtseg local up` and `exec` if another server uses the data folder (EX_TEMPFAIL of sysexits.h)."""


class FolderInUse(RuntimeError):
    """Another server uses the data folder. The command can be repeated when that server has ended."""


class ServiceError(Exception):
    """An AWS error response. Clients dispatch on `code`; `status` is the HTTP status.

    `fields` are further members of the response, e.g. S3's `Key` or `BucketName`; `headers` are added to it; `body`
    replaces the error document.
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
