"""What a server with `--s3` asks of S3, and the permission that each request needs. Nothing else is ever sent (connection.py)."""

from __future__ import annotations

__all__ = ["KMS_ACTIONS", "S3_ACTIONS"]

S3_ACTIONS = {
    "HeadBucket": "s3:ListBucket",
    "ListObjectsV2": "s3:ListBucket",
    "HeadObject": "s3:GetObject",
    "GetObject": "s3:GetObject",
    "PutObject": "s3:PutObject",
    "CreateMultipartUpload": "s3:PutObject",
    "UploadPart": "s3:PutObject",
    "CompleteMultipartUpload": "s3:PutObject",
    "AbortMultipartUpload": "s3:AbortMultipartUpload",
}
"""Operation of S3's API -> IAM action (Service Authorization Reference, "Actions defined by Amazon S3")."""

KMS_ACTIONS = ("kms:Decrypt", "kms:GenerateDataKey")
"""On the keys of buckets that encrypt with SSE-KMS, for reading and writing."""
