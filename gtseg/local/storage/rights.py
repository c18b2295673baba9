"""S3 operations that a server with `--s3` uses, and the permission each needs; clients.py rejects all others."""

from __future__ import annotations

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
"""KMS permissions on the keys of buckets with SSE-KMS, for reading and writing."""
