"""Handlers for buckets: create, head, list, delete."""

from __future__ import annotations

import re
from typing import Any

from gtseg.local.errors import ServiceError
from gtseg.local.s3.listing import render_owner
from gtseg.local.s3.metadata import read_acl
from gtseg.local.s3.ownership import ENFORCED, check_ownership
from gtseg.local.s3.request import Answer, Request
from gtseg.local.s3.service import S3
from gtseg.local.s3.tags import BUCKET_TAGS_MAXIMUM, read_tag_nodes
from gtseg.local.s3.xml import element, format_time, parse, wrap

BUCKETS_MAXIMUM = 10_000
NAME = re.compile(r"(?!\d+\.\d+\.\d+\.\d+\Z)(?!xn--)(?!sthree-)[a-z0-9](?:[a-z0-9-]|\.(?!\.))*[a-z0-9]\Z")
"""S3 User Guide, "General purpose bucket naming rules"."""


def check_name(bucket: str) -> None:
    """Raise ServiceError InvalidBucketName for an invalid name."""
    if not 3 <= len(bucket) <= 63 or NAME.match(bucket) is None:
        raise ServiceError("InvalidBucketName", "The specified bucket is not valid.", fields={"BucketName": bucket})


def create_bucket(s3: S3, request: Request) -> Answer:
    check_name(request.bucket)
    settings = _read_new_settings(s3, request)
    with s3.objects.index.database.write():
        made = s3.objects.index.create_bucket(request.bucket)
        for name, value in settings.items():  # on an existing bucket only its ACL is reset, as in us-east-1
            if made or (name == "acl" and s3.region == "us-east-1"):
                s3.objects.index.write_setting(request.bucket, name, value)
    if not made and s3.region != "us-east-1":  # us-east-1 returns 200 to the bucket's owner
        raise ServiceError(
            "BucketAlreadyOwnedByYou",
            "Your previous request to create the named bucket succeeded and you already own it.",
            409,
            fields={"BucketName": request.bucket},
        )
    return Answer(200, {"location": f"/{request.bucket}"})


def _read_new_settings(s3: S3, request: Request) -> dict[str, Any]:
    """Return the ACL, object ownership and tags of a new bucket. Raises ServiceError for another region."""
    settings: dict[str, Any] = {"acl": read_acl(request.headers) or None}
    if ownership := request.headers.get("x-amz-object-ownership"):
        settings["ownership"] = check_ownership(ownership)
        if ownership == ENFORCED and settings["acl"]:
            raise ServiceError(
                "InvalidBucketAclWithObjectOwnership",
                "Bucket cannot have ACLs set with ObjectOwnership's BucketOwnerEnforced setting",
            )
    if not request.body:
        return settings
    tree = parse(request.body, "CreateBucketConfiguration", "LocationConstraint", "Tags", "Tag", "Key", "Value")
    region = tree.findtext("LocationConstraint") or s3.region
    if {"EU": "eu-west-1"}.get(region, region) != s3.region:
        raise ServiceError(
            "IllegalLocationConstraintException",
            f"The {region} location constraint is incompatible for the region specific endpoint this request was sent "
            "to.",
        )
    if (tags := tree.find("Tags")) is not None:
        settings["tags"] = read_tag_nodes(tags, limit=BUCKET_TAGS_MAXIMUM)
    return settings


def head_bucket(s3: S3, request: Request) -> Answer:
    s3.objects.index.check_bucket(request.bucket)
    return Answer(200, {"x-amz-bucket-region": s3.region, "content-type": "application/xml"})


def delete_bucket(s3: S3, request: Request) -> Answer:
    s3.objects.index.delete_bucket(request.bucket)
    return Answer(204)


def list_buckets(s3: S3, request: Request) -> Answer:
    """List buckets by name; all are in this server's region. The continuation token is the last name of a page."""
    query = request.query
    prefix, after = query.get("prefix", ""), query.get("continuation-token", "")
    limit = _read_maximum_buckets(query)
    chosen = [
        (name, created)
        for name, created in s3.objects.index.list_buckets()
        if name.startswith(prefix) and name > after and query.get("bucket-region", s3.region) == s3.region
    ]
    page = chosen[:limit]
    buckets = "".join(
        f"<Bucket>{element('Name', name)}{element('CreationDate', format_time(created))}"
        f"{element('BucketRegion', s3.region) if query else ''}</Bucket>"
        for name, created in page
    )
    parts = [render_owner(s3), f"<Buckets>{buckets}</Buckets>"]
    if prefix:
        parts.append(element("Prefix", prefix))
    if len(chosen) > limit:
        parts.append(element("ContinuationToken", page[-1][0]))
    return Answer(body=wrap("ListAllMyBucketsResult", *parts))


def _read_maximum_buckets(query: dict[str, str]) -> int:
    text = query.get("max-buckets", str(BUCKETS_MAXIMUM))
    if not text.isdecimal() or not 1 <= int(text) <= BUCKETS_MAXIMUM:
        raise ServiceError(
            "InvalidArgument",
            f"Argument max-buckets must be an integer between 1 and {BUCKETS_MAXIMUM}",
            fields={"ArgumentName": "max-buckets", "ArgumentValue": text},
        )
    return int(text)


def get_location(s3: S3, request: Request) -> Answer:
    s3.objects.index.check_bucket(request.bucket)
    return Answer(body=wrap("LocationConstraint", "" if s3.region == "us-east-1" else s3.region))
