"""The one door to S3: small reads and writes through boto3, bulk data on signed, kept-alive connections.

door = S3(clients)
body, etag = door.read("s3://bucket/key")
etag = door.write("s3://bucket/key", body, if_match=etag)      # AWSError PreconditionFailed if somebody was faster
for item in door.list_objects("s3://bucket/prefix/"): ...       # Listed(key, size, etag, modified), sorted by key
"""

from __future__ import annotations

from gtseg.aws.s3.bodies import FileBody
from gtseg.aws.s3.bulk import Bulk, Fetched
from gtseg.aws.s3.listing import Listed, list_folder, list_pages
from gtseg.aws.s3.objects import CONDITION_CODES, MISSING_CODES, S3, Uploaded
from gtseg.aws.s3.parallel import Budget, work_through
from gtseg.aws.s3.uris import is_s3_uri, join_uri, split_uri

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
