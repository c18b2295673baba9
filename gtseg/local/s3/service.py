"""What every S3 handler is given."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from gtseg.local.errors import ServiceError
from gtseg.local.front.signature import FindSecret
from gtseg.local.s3.request_body import Intake
from gtseg.local.storage.folder import FolderObjects
from gtseg.local.storage.uploads import Uploads

__all__ = ["S3"]


@dataclass(frozen=True)
class S3:
    objects: FolderObjects
    account: str
    region: str
    pool: Executor
    intake: Intake
    find_secret: FindSecret
    read_clock: Callable[[], datetime]

    @property
    def uploads(self) -> Uploads:
        return self.objects.uploads

    def read_setting(self, bucket: str, name: str, *, code: str, message: str) -> Any:
        """One of a bucket's settings. Raises ServiceError `code` where it has none."""
        value = self.objects.index.read_settings(bucket).get(name)
        if value is None:
            raise ServiceError(code, message, 404, fields={"BucketName": bucket})
        return value
