"""Hints and exit codes for AWS's error codes."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from gtseg.errors import CREDENTIAL_CODES, AWSError

NOT_AWS = "NotAWS"
"""Error code of a response that is not from AWS: from a proxy, a captive portal or another server."""
NO_REGION = (
    "Name one: `[project] region`, AWS_REGION, AWS_DEFAULT_REGION, or a profile that has one. "
    "For the embedded AWS export the lines that `gtseg local up` prints, or use `gtseg local exec -- ...`."
)
NO_CREDENTIALS = (
    "Configure AWS credentials (`aws configure`, AWS_PROFILE), or try without an account: `gtseg local exec -- ...`."
)
PERMISSION = (
    "The caller's policy must allow it: `gtseg init --policies` writes one with all permissions that gtseg needs "
    "(policies/caller.json)."
)
READING = f"{PERMISSION} For a requester pays bucket set `[images] requester_pays = true`."
WRITING = (
    "The caller's policy and the bucket's must allow it. If the bucket's policy requires an encryption header: "
    '`[project] sse = "AES256"` (or "aws:kms"), or `[project] kms_key`.'
)
ROLE = (
    "A new role takes about a minute to propagate in IAM: run the same command again. Otherwise check `[project] "
    "role_arn`, and that the role trusts sagemaker.amazonaws.com: `gtseg init --policies` writes policies/trust.json."
)
RETRY_LATER = "Run the same command again later: it continues from here."
UNKNOWN = "`gtseg doctor` checks the account and the settings; the same command continues from here."
CLOCK_CODES = frozenset({"RequestTimeTooSkewed", "RequestExpired", "RequestInTheFuture"})
CLOCK = re.compile(r"signature expired|signature not yet current|not yet valid", re.IGNORECASE)
ROLE_UNKNOWN = re.compile(
    r"(could not|cannot|can't|unable to|failed to) assume|not authorized to assume"
    r"|role .*(does not exist|is invalid)|assume role",
    re.IGNORECASE,
)
CLOCK_TOLERANCE = 60
"""Clock difference in seconds below which AWS does not refuse a request."""
_STAMP = re.compile(r"\d{8}T\d{6}Z")


@dataclass(frozen=True)
class Rule:
    """A hint for errors with one of `codes` (any, if empty) whose operation and message match."""

    hint: str
    codes: frozenset[str] = frozenset()
    operation: str = ""
    message: str = ""
    exit_code: int | None = None

    def holds(self, operation: str, code: str, message: str) -> bool:
        return (
            (not self.codes or code in self.codes)
            and (not self.operation or re.match(self.operation, operation) is not None)
            and (not self.message or re.search(self.message, message, re.IGNORECASE) is not None)
        )


def _codes(text: str) -> frozenset[str]:
    return frozenset(text.split())


DENIED = _codes(
    "AccessDenied AccessDeniedException 403 Forbidden UnauthorizedOperation NotAuthorized AuthorizationError"
)
RULES = (
    Rule(
        "Multi-factor authentication failed: the code was wrong or used already. Run the same command again with "
            "the next one.",
        DENIED,
        message="MultiFactorAuthentication|MFA",
    ),
    Rule("The KMS key must be enabled, and the caller (and the role) allowed kms:GenerateDataKey and kms:Decrypt on "
         "it. To use another key: `[project] kms_key`.",
         message=r"kms[:.]|KMS key", exit_code=4),
    Rule(WRITING, DENIED, operation="(Put|Copy)Object|CreateMultipartUpload|UploadPart"),
    Rule(READING, DENIED, operation="(Get|Head)Object|ListObjects|HeadBucket"),
    Rule(PERMISSION, DENIED),
    Rule("The session has expired: log in again (`aws sso login`, `aws login`, or new keys), then run the same command "
        "again.",
         _codes("ExpiredToken ExpiredTokenException TokenRefreshRequired InvalidToken")),
    Rule(
        "The keys are wrong or were deleted, or their session has ended: `aws sts get-caller-identity` shows the "
        "caller. The same error occurs if the region is not enabled for the account (AWS console, Account, AWS "
        "Regions).",
        _codes("UnrecognizedClientException InvalidClientTokenId InvalidAccessKeyId AuthFailure InvalidSecurity"),
    ),
    Rule(
        "The secret key does not belong to the access key, or a proxy changes the requests: check the credentials "
        "(`aws sts get-caller-identity`).",
        _codes("SignatureDoesNotMatch InvalidSignatureException IncompleteSignature IncompleteSignatureException"),
    ),
    Rule(
        "The region is not enabled for this account: enable it (AWS console, Account, AWS Regions), or choose "
            "another: `[project] region`.",
        _codes("OptInRequired RegionDisabledException SubscriptionRequiredException NotSignedUp PendingVerification"),
        exit_code=4,
    ),
    Rule(NO_CREDENTIALS, _codes("MissingAuthenticationToken MissingAuthenticationTokenException NoCredentials")),
    Rule(
        "Request an increase in the Service Quotas console (SageMaker), wait until running jobs end, or choose "
            "another instance type.",
        _codes("ResourceLimitExceeded LimitExceededException ServiceQuotaExceededException"),
    ),
    Rule(
        "AWS has no capacity of this instance type: try again later, or choose another instance type or region.",
        _codes("InsufficientInstanceCapacity CapacityError InsufficientCapacityException"),
    ),
    Rule("A larger instance or a smaller image may help: `[deploy] instance_type`, `[predict] max_side`.",
         _codes("ModelError ModelNotReadyException RequestTimeout"), operation="InvokeEndpoint"),
    Rule("The account has exceeded AWS's request rate. " + RETRY_LATER,
         _codes("Throttling ThrottlingException ThrottledException SlowDown RequestLimitExceeded "
                "TooManyRequestsException ProvisionedThroughputExceededException RequestThrottled "
                "BandwidthLimitExceeded 429")),
    Rule("A server error of AWS. " + RETRY_LATER,
         _codes("InternalError InternalFailure InternalServerError InternalServiceError ServiceUnavailable "
                "ServiceUnavailableException RequestTimeout RequestTimeoutException 500 502 503 504")),
    Rule("Check the bucket name: `[project] bucket`, or the given address.", _codes("NoSuchBucket")),
    Rule("The object was deleted or moved: `gtseg status --refresh` shows what still exists.", _codes("NoSuchKey")),
    Rule("The bucket is in another region: set `[project] region`, or choose another bucket.",
         _codes("PermanentRedirect TemporaryRedirect AuthorizationHeaderMalformed IllegalLocationConstraintException "
             "301 307")),
    Rule("This S3 service does not implement the request: omit `[project] sse` and `kms_key`, or use a service that "
        "supports them.",
         _codes("NotImplemented")),
    Rule("The bucket name is taken by another account: choose another, `[project] bucket`.",
         _codes("BucketAlreadyExists")),
    Rule("It may have been deleted outside of gtseg: `gtseg status --refresh` shows what still exists.",
         _codes("ResourceNotFound ResourceNotFoundException NotFound 404")),
    Rule("Another request is changing the same resource. " + RETRY_LATER,
         _codes("ConflictException OperationAborted ConcurrentModification ResourceInUse ResourceInUseException 409")),
    Rule("It may have been deleted outside of gtseg: `gtseg deploy` creates it again, `gtseg status --refresh` shows "
        "what still exists.",
         _codes("ValidationError ValidationException"), operation="InvokeEndpoint", message="not found", exit_code=3),
    Rule("It may have been deleted outside of gtseg: `gtseg status --refresh` shows what still exists.",
         _codes("ValidationError ValidationException"), operation="Describe|Delete|Stop|List",
         message="could not find|cannot find|does not exist|not found", exit_code=3),
    Rule("The setting it names is in gtseg.toml; `--dry-run` shows the whole request, `gtseg doctor` checks the "
        "settings.",
         _codes("ValidationException ValidationError InvalidParameterValue InvalidParameterException ParamValidation "
                "InvalidRequest InvalidArgument MalformedXML")),
)  # fmt: skip
"""Rules in order of precedence; the first match applies."""


def refusal(operation: str, code: str, message: str, *, date: str = "") -> AWSError:
    """Return AWS's error with a hint. `date`: the Date header of the response, AWS's clock."""
    if code in CLOCK_CODES or CLOCK.search(message):
        return AWSError(operation, code, message, hint=_clocks(message, date), exit_code=4)
    if is_about_role(operation, code, message):
        return AWSError(operation, code, message, hint=ROLE, exit_code=4)
    for rule in RULES:
        if rule.holds(operation, code, message):
            return AWSError(operation, code, message, hint=rule.hint, exit_code=rule.exit_code)
    return AWSError(operation, code, message, hint=PERMISSION if code in CREDENTIAL_CODES else UNKNOWN)


def is_about_role(operation: str, code: str, message: str) -> bool:
    """Return whether SageMaker cannot assume the execution role (IAM takes about a minute to propagate a new one)."""
    return (
        operation.startswith(("Create", "Update"))
        and code in {"ValidationException", "AccessDeniedException", "ValidationError"}
        and "role" in message.lower()
        and ROLE_UNKNOWN.search(message) is not None
    )


def _clocks(message: str, date: str) -> str:
    """Return the hint for clock skew, from the timestamps in the message (AWS's is the last) or the Date header."""
    stamps = [datetime.strptime(stamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC) for stamp in _STAMP.findall(message)]
    ours, theirs = datetime.now(UTC), _parse_date(date)
    if len(stamps) >= 2:
        ours, theirs = stamps[0], stamps[-1]
    cure = "Set this machine's clock (`timedatectl set-ntp true`), then run the same command again."
    apart = abs(round((ours - theirs).total_seconds())) if theirs else 0
    if theirs is None or apart < CLOCK_TOLERANCE:
        return f"This machine's clock shows {ours:%Y-%m-%d %H:%M:%S} UTC, which AWS refuses. {cure}"
    words = f"{apart // 3600} h {apart % 3600 // 60} min" if apart >= 3600 else f"{apart // 60} min {apart % 60} s"
    return (
        f"This machine's clock shows {ours:%Y-%m-%d %H:%M:%S} UTC, AWS's {theirs:%Y-%m-%d %H:%M:%S} UTC: {words} "
        f"apart. {cure}"
    )


def _parse_date(text: str) -> datetime | None:
    try:
        return parsedate_to_datetime(text)
    except (ValueError, TypeError):
        return None
