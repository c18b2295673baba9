"""Context that every S3 handler receives."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from gtseg.local.errors import ServiceError
from gtseg.local.front.signature import FindSecret
from gtseg.local.s3.request_body import BodyReceiver
from gtseg.local.storage.folder import FolderObjects
from gtseg.local.storage.uploads import Uploads


@dataclass(frozen=True)
class S3:
    """Objects, identity and resources of the S3 service."""

    objects: FolderObjects
    account: str
    region: str
    pool: Executor
    intake: BodyReceiver
    find_secret: FindSecret
    read_clock: Callable[[], datetime]

    @property
    def uploads(self) -> Uploads:
        return self.objects.uploads

    def read_setting(self, bucket: str, name: str, *, code: str, message: str) -> Any:
        """Return a setting of a bucket. Raises ServiceError `code` if it is not set."""
        value = self.objects.index.read_settings(bucket).get(name)
        if value is None:
            raise ServiceError(code, message, 404, fields={"BucketName": bucket})
        return value
