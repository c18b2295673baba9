"""What every S3 handler is given."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from datetime import datetime

from gtseg.local.front.signature import FindSecret
from gtseg.local.s3.intake import Intake
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
