"""Checks that several Create operations share: unimplemented members, S3 URIs, names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from gtseg.local.embedded import Embedded
from gtseg.local.errors import ServiceError
from gtseg.local.storage.objects import split_uri


def invalid(message: str) -> ServiceError:
    """Return a ValidationException."""
    return ServiceError("ValidationException", message)


def name_taken(arn: str) -> ServiceError:
    """Return AWS's error for a job name that is taken."""
    return ServiceError(
        "ResourceInUse",
        f"Job name must be unique within an AWS account and region, and a job with this name already exists ({arn})",
    )


def refuse(request: Mapping[str, Any], members: Iterable[str]) -> None:
    """Raise ValidationException for the first given member that the embedded AWS does not implement."""
    for member in members:
        if request.get(member):
            raise invalid(f"{member} is not supported by the embedded AWS. Remove it from the request.")


def pick(request: Mapping[str, Any], members: Iterable[str]) -> dict[str, Any]:
    """Return the given, non-empty members of a request, for the Describe response."""
    return {member: request[member] for member in members if request.get(member) not in (None, {}, [])}


def read_uri(uri: str, member: str) -> tuple[str, str]:
    """Return (bucket, key) of an S3 URI. Raises ValidationException naming the member if it is invalid."""
    if not uri.startswith("s3://") or not uri.removeprefix("s3://").split("/")[0]:
        raise invalid(f"{member} must be an S3 URI s3://bucket/prefix, not {uri!r}.")
    return split_uri(uri)


def _refuse_bucketless(embedded: Embedded, uri: str, member: str) -> None:
    """Raise ValidationException if the output bucket of a job does not exist."""
    bucket, _ = read_uri(uri, member)
    if not embedded.objects.bucket_exists(bucket):
        raise invalid(f"{member}: the S3 bucket {bucket} of {uri} does not exist.")
