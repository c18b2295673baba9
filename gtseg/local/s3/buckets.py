"""Buckets: create, head, list, delete."""

from __future__ import annotations

import re

from gtseg.local.errors import ServiceError
from gtseg.local.s3.request import Answer, Request
from gtseg.local.s3.service import S3
from gtseg.local.s3.xml import element, format_time, parse, wrap

__all__ = ["create_bucket", "delete_bucket", "get_location", "head_bucket", "list_buckets"]

# S3 User Guide, "General purpose bucket naming rules".
NAME = re.compile(r"(?!\d+\.\d+\.\d+\.\d+\Z)(?!xn--)(?!sthree-)[a-z0-9](?:[a-z0-9-]|\.(?!\.))*[a-z0-9]\Z")


def check_name(bucket: str) -> None:
    if not 3 <= len(bucket) <= 63 or NAME.match(bucket) is None:
        raise ServiceError(
            "InvalidBucketName", "The specified bucket is not valid.", fields={"BucketName": bucket}
        )


def create_bucket(s3: S3, request: Request) -> Answer:
    check_name(request.bucket)
    if request.body:
        parse(request.body, "CreateBucketConfiguration")
    made = s3.objects.index.create_bucket(request.bucket)
    if not made and s3.region != "us-east-1":  # us-east-1 answers 200 to the bucket's owner
        raise ServiceError(
            "BucketAlreadyOwnedByYou",
            "Your previous request to create the named bucket succeeded and you already own it.",
            409,
            fields={"BucketName": request.bucket},
        )
    return Answer(200, {"location": f"/{request.bucket}"})


def head_bucket(s3: S3, request: Request) -> Answer:
    s3.objects.index.check_bucket(request.bucket)
    return Answer(200, {"x-amz-bucket-region": s3.region, "content-type": "application/xml"})


def delete_bucket(s3: S3, request: Request) -> Answer:
    s3.objects.index.delete_bucket(request.bucket)
    return Answer(204)


def list_buckets(s3: S3, request: Request) -> Answer:
    owner = f"<Owner>{element('ID', s3.account)}{element('DisplayName', 'gtseg')}</Owner>"
    buckets = "".join(
        f"<Bucket>{element('Name', name)}{element('CreationDate', format_time(created))}</Bucket>"
        for name, created in s3.objects.index.list_buckets()
    )
    return Answer(body=wrap("ListAllMyBucketsResult", owner, f"<Buckets>{buckets}</Buckets>"))


def get_location(s3: S3, request: Request) -> Answer:
    s3.objects.index.check_bucket(request.bucket)
    return Answer(body=wrap("LocationConstraint", "" if s3.region == "us-east-1" else s3.region))
