"""A bucket's other settings, as a bucket has them on which nobody ever set any: data tools ask for them."""

from __future__ import annotations

from collections.abc import Callable

from gtseg.local.errors import ServiceError
from gtseg.local.s3.request import Answer, Request
from gtseg.local.s3.service import S3
from gtseg.local.s3.xml import malformed, parse, wrap

__all__ = ["ABSENT", "EMPTY", "answer_absent", "answer_empty", "put_versioning"]

# subresource -> (operation, code, message): the setting that was never made
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
# subresource -> (operation, root element, content): the setting's default
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


def answer_absent(code: str, message: str) -> Callable[[S3, Request], Answer]:
    def answer(s3: S3, request: Request) -> Answer:
        s3.objects.index.check_bucket(request.bucket)
        raise ServiceError(code, message, 404, fields={"BucketName": request.bucket})

    return answer


def answer_empty(root: str, content: str) -> Callable[[S3, Request], Answer]:
    def answer(s3: S3, request: Request) -> Answer:
        s3.objects.index.check_bucket(request.bucket)
        return Answer(body=wrap(root, content))

    return answer


def put_versioning(s3: S3, request: Request) -> Answer:
    """Versioning is off and stays off; suspending it changes nothing."""
    s3.objects.index.check_bucket(request.bucket)
    tree = parse(request.body, "VersioningConfiguration", "Status", "MfaDelete")
    status = tree.findtext("Status")
    if status == "Enabled" or tree.findtext("MfaDelete", "Disabled") != "Disabled":
        raise ServiceError("NotImplemented", "Versioning is not implemented by this server.", 501)
    if status != "Suspended":
        raise malformed()
    return Answer()
