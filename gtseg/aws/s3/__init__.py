"""S3 access: small reads and writes through boto3, bulk transfers on signed, persistent connections.

s3 = S3(clients)
body, etag = s3.read("s3://bucket/key")
etag = s3.write("s3://bucket/key", body, if_match=etag)      # AWSError PreconditionFailed if it changed meanwhile
for item in s3.list_objects("s3://bucket/prefix/"): ...       # Listed(key, size, etag, modified), sorted by key
"""

from __future__ import annotations

from gtseg.aws.s3.bodies import FileBody
from gtseg.aws.s3.bulk import Bulk, Fetched
from gtseg.aws.s3.listing import Listed, list_folder, list_pages
from gtseg.aws.s3.objects import CONDITION_CODES, MISSING_CODES, S3, Uploaded
from gtseg.aws.s3.parallel import Budget, work_through
from gtseg.aws.s3.uris import join_uri
from gtseg.core.s3_uris import is_s3_uri, split_uri

__all__ = [
    "CONDITION_CODES",
    "MISSING_CODES",
    "S3",
    "Budget",
    "Bulk",
    "Fetched",
    "FileBody",
    "Listed",
    "Uploaded",
    "is_s3_uri",
    "join_uri",
    "list_folder",
    "list_pages",
    "split_uri",
    "work_through",
]
