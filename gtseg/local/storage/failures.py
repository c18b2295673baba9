"""What boto3's errors mean for an S3 service: a fault of the request, of the credentials, of the network or of S3."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from gtseg.local.errors import ServiceError
from gtseg.local.storage.clients import describe
from gtseg.local.storage.rights import S3_ACTIONS

Kind = Literal["answer", "absent", "credentials", "network", "service", "nonsense"]
"""answer: S3's answer to this request. absent: no credentials. credentials: they are refused or cannot be fetched.
network: no connection to the host. service: S3 fails or throttles. nonsense: the response is not that of an S3 service.
"""
MULTI_REGION = ".mrap"
"""End of the ARN of a multi-region access point, whose signatures (SigV4A) need awscrt."""
DENIED = ("AccessDenied", "403", "Forbidden", "AllAccessDisabled", "401", "Unauthorized")
THROTTLED = (
    "SlowDown",
    "Throttling",
    "ThrottlingException",
    "RequestLimitExceeded",
    "TooManyRequests",
    "RequestTimeout",
)
CREDENTIALS = (
    "ExpiredToken",
    "ExpiredTokenException",
    "InvalidToken",
    "TokenRefreshRequired",
    "InvalidAccessKeyId",
    "SignatureDoesNotMatch",
    "RequestTimeTooSkewed",
    "RequestExpired",
    "InvalidClientTokenId",
    "400",
)
"""Error codes that new credentials or a correct clock cure.

HEAD responses carry no code: 400 is the status of an expired token.
"""


@dataclass(frozen=True, slots=True)
class Failure:
    """Meaning of an error: `reason` is a text for people; `error` is S3's answer, for the kind "answer"."""

    kind: Kind
    reason: str = ""
    error: ServiceError | None = None
    is_stale: bool = False
    """Whether the credentials must be loaded again."""


def classify(error: Exception, bucket: str) -> Failure:
    """Return what an error of boto3 means, which was raised by a request for `bucket` ("": none).

    Raises the error itself if it is none of boto3's.
    """
    from botocore import exceptions as aws

    unsuitable = (
        aws.EndpointProviderError,
        aws.InvalidDNSNameError,
        aws.InvalidHostLabelError,
        aws.InvalidRegionError,
        aws.ParamValidationError,
        aws.UnknownRegionError,
        aws.UnsupportedOutpostResourceError,
        aws.UnsupportedS3AccesspointConfigurationError,
        aws.UnsupportedS3ArnError,
        aws.UnsupportedS3ConfigurationError,
    )  # raised for a bucket's name or ARN before anything is sent
    unreachable = (aws.EndpointConnectionError, aws.ConnectTimeoutError, aws.ProxyConnectionError, aws.SSLError)
    reason = describe(error)
    if isinstance(error, unsuitable):
        return _answer("InvalidBucketName", f"s3://{bucket}: {reason}", 400)
    if isinstance(error, aws.MissingDependencyException) and bucket.endswith(MULTI_REGION):
        cure = "need the package awscrt on the labeling server. Or name the bucket, or an access point of one region."
        return _answer("InvalidBucketName", f"s3://{bucket}: multi-region access points {cure}", 400)
    if isinstance(error, aws.NoCredentialsError):
        return Failure("absent", "no AWS credentials were found for this server (--s3-profile)", is_stale=True)
    if isinstance(error, aws.ClientError):
        return _classify_response(error, bucket)
    if isinstance(error, unreachable):
        return Failure("network", reason)
    if isinstance(error, (aws.ConnectionError, aws.HTTPClientError, OSError)):
        return Failure("service", reason)
    if isinstance(error, aws.BotoCoreError):  # of the source of the credentials
        return Failure("credentials", reason, is_stale=True)
    if isinstance(error, (KeyError, TypeError, ValueError, RecursionError)):  # a response that boto3 cannot parse
        return Failure("nonsense")
    if isinstance(
        error, RuntimeError
    ):  # "Credentials were refreshed, but the refreshed credentials are still expired."
        return Failure("credentials", reason, is_stale=True)
    raise error


def _classify_response(error: Any, bucket: str) -> Failure:
    """Return what boto3's ClientError means."""
    if error.operation_name not in S3_ACTIONS:  # of the service that issues temporary credentials: STS, SSO
        return Failure("credentials", f"no credentials: {describe(error)}", is_stale=True)
    status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    code, message = error.response["Error"].get("Code", ""), error.response["Error"].get("Message", "")
    if code == "304" or status == 304:
        return _answer("304", "Not Modified", 304)
    text = f"{message} ({code})" if message else code
    if code in CREDENTIALS or "Token" in code:
        return Failure("credentials", text, is_stale=True)
    is_stale = status == 403
    if status >= 500 or status == 429 or code in THROTTLED:
        return Failure("service", text, is_stale=is_stale)
    if code in DENIED or status == 403:
        denial = message if message not in ("", "Forbidden") else "Access Denied"
        return _answer("AccessDenied", denial, 403, is_stale=is_stale)
    if code in ("404", "NotFound"):
        return _answer("404", f"The bucket s3://{bucket} or the object in it does not exist.", 404)
    return _answer(code, message or code, status or 400)


def _answer(code: str, message: str, status: int, *, is_stale: bool = False) -> Failure:
    return Failure("answer", message, ServiceError(code, message, status), is_stale)
