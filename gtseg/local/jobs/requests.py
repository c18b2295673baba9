"""What several create calls check alike: members that the embedded AWS does not implement, S3 addresses, names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from gtseg.local.embedded import Embedded
from gtseg.local.errors import ServiceError
from gtseg.local.storage.objects import split_uri

__all__ = ["invalid", "name_taken", "pick", "read_uri", "refuse", "refuse_bucketless"]


def invalid(message: str) -> ServiceError:
    return ServiceError("ValidationException", message)


def name_taken(arn: str) -> ServiceError:
    return ServiceError(
        "ResourceInUse",
        f"Job name must be unique within an AWS account and region, and a job with this name already exists ({arn})",
    )


def refuse(request: Mapping[str, Any], members: Iterable[str]) -> None:
    """ValidationException naming the first given member that this server would otherwise have to ignore."""
    for member in members:
        if request.get(member):
            raise invalid(f"{member} is not supported by the embedded AWS: leave it out.")


def pick(request: Mapping[str, Any], members: Iterable[str]) -> dict[str, Any]:
    """The given, non-empty members of a request, for the Describe answer."""
    return {member: request[member] for member in members if request.get(member) not in (None, {}, [])}


def read_uri(uri: str, member: str) -> tuple[str, str]:
    """(bucket, key) of an s3:// address; ValidationException names the member that holds another one."""
    if not uri.startswith("s3://") or not uri.removeprefix("s3://").split("/")[0]:
        raise invalid(f"{member} must be an S3 URI s3://bucket/prefix, and is {uri!r}.")
    return split_uri(uri)


def refuse_bucketless(embedded: Embedded, uri: str, member: str) -> None:
    """ValidationException where the bucket that a job would write to does not exist."""
    bucket, _ = read_uri(uri, member)
    if not embedded.objects.bucket_exists(bucket):
        raise invalid(f"{member}: the S3 bucket {bucket} of {uri} does not exist.")
