"""Object ownership of a bucket: BucketOwnerEnforced disables ACLs; the other values are equivalent with one account.

Source: S3 User Guide, "Controlling ownership of objects and disabling ACLs". Unlike AWS's default since 2023, a bucket
without the setting accepts ACLs: the server holds one account's data, and data tools still send them.
"""

from __future__ import annotations

from gtseg.local.errors import ServiceError
from gtseg.local.s3.request import Answer, Request
from gtseg.local.s3.service import S3
from gtseg.local.s3.xml import element, malformed, parse, wrap

ENFORCED = "BucketOwnerEnforced"
VALUES = (ENFORCED, "BucketOwnerPreferred", "ObjectWriter")


def check_ownership(value: str) -> str:
    """Return a valid ownership value. Raises ServiceError InvalidArgument."""
    if value not in VALUES:
        raise ServiceError(
            "InvalidArgument",
            f"Invalid value for object ownership: {value}",
            fields={"ArgumentName": "x-amz-object-ownership", "ArgumentValue": value},
        )
    return value


def refuse_disabled_acl(s3: S3, bucket: str, headers: dict[str, str]) -> None:
    """Raise ServiceError AccessControlListNotSupported for a request with an ACL if ownership is enforced."""
    acl = headers.get("x-amz-acl", "bucket-owner-full-control")
    if acl == "bucket-owner-full-control":
        return
    if s3.objects.index.read_settings(bucket).get("ownership") == ENFORCED:
        raise ServiceError("AccessControlListNotSupported", "The bucket does not allow ACLs")


def get_ownership(s3: S3, request: Request) -> Answer:
    code, message = "OwnershipControlsNotFoundError", "The bucket ownership controls were not found"
    ownership = s3.read_setting(request.bucket, "ownership", code=code, message=message)
    return Answer(body=wrap("OwnershipControls", f"<Rule>{element('ObjectOwnership', ownership)}</Rule>"))


def put_ownership(s3: S3, request: Request) -> Answer:
    rules = parse(request.body, "OwnershipControls", "Rule", "ObjectOwnership").findall("Rule")
    if len(rules) != 1:
        raise malformed()
    ownership = rules[0].findtext("ObjectOwnership")
    if ownership not in VALUES:
        raise malformed()
    settings = s3.objects.index.read_settings(request.bucket)
    if ownership == ENFORCED and settings.get("acl"):
        raise ServiceError(
            "InvalidBucketAclWithObjectOwnership",
            "Bucket cannot have ACLs set with ObjectOwnership's BucketOwnerEnforced setting",
        )
    s3.objects.index.write_setting(request.bucket, "ownership", ownership)
    return Answer()


def delete_ownership(s3: S3, request: Request) -> Answer:
    s3.objects.index.write_setting(request.bucket, "ownership", None)
    return Answer(204)
