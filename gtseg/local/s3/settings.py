"""Bucket settings that are not implemented: reads return the default, which data tools query."""

from __future__ import annotations

from collections.abc import Callable

from gtseg.local.errors import ServiceError
from gtseg.local.s3.request import Answer, Request
from gtseg.local.s3.service import S3
from gtseg.local.s3.xml import malformed, parse, wrap

ABSENT = {
    "encryption": (
        "GetBucketEncryption",
        "ServerSideEncryptionConfigurationNotFoundError",
        "The server side encryption configuration was not found",
    ),
    "lifecycle": (
        "GetBucketLifecycleConfiguration",
        "NoSuchLifecycleConfiguration",
        "The lifecycle configuration does not exist",
    ),
    "object-lock": (
        "GetObjectLockConfiguration",
        "ObjectLockConfigurationNotFoundError",
        "Object Lock configuration does not exist for this bucket",
    ),
    "publicAccessBlock": (
        "GetPublicAccessBlock",
        "NoSuchPublicAccessBlockConfiguration",
        "The public access block configuration was not found",
    ),
    "replication": (
        "GetBucketReplication",
        "ReplicationConfigurationNotFoundError",
        "The replication configuration was not found",
    ),
    "website": (
        "GetBucketWebsite",
        "NoSuchWebsiteConfiguration",
        "The specified bucket does not have a website configuration",
    ),
}
"""Subresource -> (operation, error code, message) of a setting that is not set."""
EMPTY = {
    "versioning": ("GetBucketVersioning", "VersioningConfiguration", ""),
    "logging": ("GetBucketLogging", "BucketLoggingStatus", ""),
    "notification": ("GetBucketNotificationConfiguration", "NotificationConfiguration", ""),
    "accelerate": ("GetBucketAccelerateConfiguration", "AccelerateConfiguration", ""),
    "requestPayment": (
        "GetBucketRequestPayment",
        "RequestPaymentConfiguration",
        "<Payer>BucketOwner</Payer>",
    ),
}
"""Subresource -> (operation, root element, content) of a setting's default."""


def answer_absent(code: str, message: str) -> Callable[[S3, Request], Answer]:
    """Return a handler that raises the error of a setting that is not set."""

    def answer(s3: S3, request: Request) -> Answer:
        s3.objects.index.check_bucket(request.bucket)
        raise ServiceError(code, message, 404, fields={"BucketName": request.bucket})

    return answer


def answer_empty(root: str, content: str) -> Callable[[S3, Request], Answer]:
    """Return a handler that returns a setting's default."""

    def answer(s3: S3, request: Request) -> Answer:
        s3.objects.index.check_bucket(request.bucket)
        return Answer(body=wrap(root, content))

    return answer


def put_versioning(s3: S3, request: Request) -> Answer:
    """Accept suspending versioning, which is always off. Raises ServiceError NotImplemented if it is enabled."""
    s3.objects.index.check_bucket(request.bucket)
    tree = parse(request.body, "VersioningConfiguration", "Status", "MfaDelete")
    status = tree.findtext("Status")
    if status == "Enabled" or tree.findtext("MfaDelete", "Disabled") != "Disabled":
        raise ServiceError("NotImplemented", "Versioning is not implemented by this server.", 501)
    if status != "Suspended":
        raise malformed()
    return Answer()
