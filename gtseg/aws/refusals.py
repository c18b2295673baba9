"""What AWS's refusals mean: the cure of each, and the exit code where the code alone does not say it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from gtseg.errors import CREDENTIAL_CODES, AWSError

__all__ = ["NOT_AWS", "NO_CREDENTIALS", "NO_REGION", "is_about_role", "refusal"]

NOT_AWS = "NotAWS"
"""The code of an answer that AWS did not give: a proxy's, a captive portal's, another server's."""
NO_REGION = (
    "Name one: `[project] region`, AWS_REGION, AWS_DEFAULT_REGION, or a profile that has one. "
    "For the embedded AWS export the lines that `gtseg local up` prints, or use `gtseg local exec -- ...`."
)
NO_CREDENTIALS = (
    "Configure AWS credentials (`aws configure`, AWS_PROFILE), or try without an account: `gtseg local exec -- ...`."
)
PERMISSION = "The caller's policy must allow it: `gtseg init --policies` writes one with all that gtseg needs (policies/caller.json)."
READING = f"{PERMISSION} A bucket that is requester pays is read with `[images] requester_pays = true`."
WRITING = (
    "The caller's policy and the bucket's must allow it. If the bucket's policy demands an encryption header: "
    '`[project] sse = "AES256"` (or "aws:kms"), or `[project] kms_key`.'
)
ROLE = (
    "A new role takes IAM about a minute to make known: run the same command again. Otherwise check `[project] role_arn`, and "
    "that the role trusts sagemaker.amazonaws.com: `gtseg init --policies` writes policies/trust.json."
)
GOES_ON = "Run the same command again later: it goes on from here."
UNKNOWN = "`gtseg doctor` checks the account and the settings; the same command goes on from here."
CLOCK_CODES = frozenset({"RequestTimeTooSkewed", "RequestExpired", "RequestInTheFuture"})
CLOCK = re.compile(r"signature expired|signature not yet current|not yet valid", re.IGNORECASE)
ROLE_UNKNOWN = re.compile(
    r"(could not|cannot|can't|unable to|failed to) assume|not authorized to assume|role .*(does not exist|is invalid)|assume role",
    re.IGNORECASE,
)
SLIGHTLY = 60
"""Seconds between two clocks that are no reason for a refusal."""
_STAMP = re.compile(r"\d{8}T\d{6}Z")


@dataclass(frozen=True)
class Rule:
    """A hint for refusals with one of `codes` (any, if empty) whose operation and message match."""

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
        "Multi-factor authentication failed: the code was wrong or used already. Run the same command again with the next one.",
        DENIED,
        message="MultiFactorAuthentication|MFA",
    ),
    Rule("The KMS key must be enabled, and the caller (and the role) allowed kms:GenerateDataKey and kms:Decrypt on it; another key: "
        "`[project] kms_key`.",
         message=r"kms[:.]|KMS key", exit_code=4),
    Rule(WRITING, DENIED, operation="(Put|Copy)Object|CreateMultipartUpload|UploadPart"),
    Rule(READING, DENIED, operation="(Get|Head)Object|ListObjects|HeadBucket"),
    Rule(PERMISSION, DENIED),
    Rule("The session has expired: log in again (`aws sso login`, `aws login`, or new keys), then run the same command again.",
         _codes("ExpiredToken ExpiredTokenException TokenRefreshRequired InvalidToken")),
    Rule(
        "The keys are wrong or were deleted, or their session has ended: `aws sts get-caller-identity` says who is asking. They "
        "are refused like this too where the region is not enabled for the account (AWS console, Account, AWS Regions).",
        _codes("UnrecognizedClientException InvalidClientTokenId InvalidAccessKeyId AuthFailure InvalidSecurity"),
    ),
    Rule(
        "The secret key does not belong to the access key, or a proxy changes the requests: check the credentials "
        "(`aws sts get-caller-identity`).",
        _codes("SignatureDoesNotMatch InvalidSignatureException IncompleteSignature IncompleteSignatureException"),
    ),
    Rule(
        "The region is not enabled for this account: enable it (AWS console, Account, AWS Regions), or choose another: `[project] region`.",
        _codes("OptInRequired RegionDisabledException SubscriptionRequiredException NotSignedUp PendingVerification"),
        exit_code=4,
    ),
    Rule(NO_CREDENTIALS, _codes("MissingAuthenticationToken MissingAuthenticationTokenException NoCredentials")),
    Rule(
        "Ask for more in the Service Quotas console (SageMaker), wait until what runs has ended, or take another instance type.",
        _codes("ResourceLimitExceeded LimitExceededException ServiceQuotaExceededException"),
    ),
    Rule(
        "AWS has no such machine free: try again later, or take another instance type or region.",
        _codes("InsufficientInstanceCapacity CapacityError InsufficientCapacityException"),
    ),
    Rule("The larger instance or a smaller picture may help: `[deploy] instance_type`, `[predict] max_side`.",
         _codes("ModelError ModelNotReadyException RequestTimeout"), operation="InvokeEndpoint"),
    Rule("AWS limits how often the account may ask. " + GOES_ON,
         _codes("Throttling ThrottlingException ThrottledException SlowDown RequestLimitExceeded TooManyRequestsException "
                "ProvisionedThroughputExceededException RequestThrottled BandwidthLimitExceeded 429")),
    Rule("A fault of AWS's own. " + GOES_ON,
         _codes("InternalError InternalFailure InternalServerError InternalServiceError ServiceUnavailable "
                "ServiceUnavailableException RequestTimeout RequestTimeoutException 500 502 503 504")),
    Rule("Check the name of the bucket: `[project] bucket`, or the address that was given.", _codes("NoSuchBucket")),
    Rule("The object was deleted or moved: `gtseg status --refresh` says what is still there.", _codes("NoSuchKey")),
    Rule("The bucket lies in another region: `[project] region`, or another bucket.",
         _codes("PermanentRedirect TemporaryRedirect AuthorizationHeaderMalformed IllegalLocationConstraintException 301 307")),
    Rule("This S3 does not know what was asked for: leave out `[project] sse` and `kms_key`, or use a service that has them.",
         _codes("NotImplemented")),
    Rule("The bucket's name is taken by another account: name another, `[project] bucket`.",
         _codes("BucketAlreadyExists")),
    Rule("It may have been deleted elsewhere: `gtseg status --refresh` says what is still there.",
         _codes("ResourceNotFound ResourceNotFoundException NotFound 404")),
    Rule("Somebody else changes the same thing just now. " + GOES_ON,
         _codes("ConflictException OperationAborted ConcurrentModification ResourceInUse ResourceInUseException 409")),
    Rule("It may have been deleted elsewhere: `gtseg deploy` makes it again, `gtseg status --refresh` says what is still there.",
         _codes("ValidationError ValidationException"), operation="InvokeEndpoint", message="not found", exit_code=3),
    Rule("It may have been deleted elsewhere: `gtseg status --refresh` says what is still there.",
         _codes("ValidationError ValidationException"), operation="Describe|Delete|Stop|List",
         message="could not find|cannot find|does not exist|not found", exit_code=3),
    Rule("The setting it names is in gtseg.toml; `--dry-run` shows the whole request, `gtseg doctor` checks the settings.",
         _codes("ValidationException ValidationError InvalidParameterValue InvalidParameterException ParamValidation "
                "InvalidRequest InvalidArgument MalformedXML")),
)  # fmt: skip
"""The first that holds speaks."""


def refusal(operation: str, code: str, message: str, *, date: str = "") -> AWSError:
    """AWS's error with its cure. `date`: the Date header of the answer, AWS's clock."""
    if code in CLOCK_CODES or CLOCK.search(message):
        return AWSError(operation, code, message, hint=_clocks(message, date), exit_code=4)
    if is_about_role(operation, code, message):
        return AWSError(operation, code, message, hint=ROLE, exit_code=4)
    for rule in RULES:
        if rule.holds(operation, code, message):
            return AWSError(operation, code, message, hint=rule.hint, exit_code=rule.exit_code)
    return AWSError(operation, code, message, hint=PERMISSION if code in CREDENTIAL_CODES else UNKNOWN)


def is_about_role(operation: str, code: str, message: str) -> bool:
    """Whether SageMaker cannot assume the execution role, or not yet: IAM spreads a new role within about a minute."""
    return (
        operation.startswith(("Create", "Update"))
        and code in {"ValidationException", "AccessDeniedException", "ValidationError"}
        and "role" in message.lower()
        and ROLE_UNKNOWN.search(message) is not None
    )


def _clocks(message: str, date: str) -> str:
    """The two clocks, by the message's own stamps (AWS's is the last one) or the answer's Date header."""
    stamps = [datetime.strptime(stamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC) for stamp in _STAMP.findall(message)]
    ours, theirs = datetime.now(UTC), _parse_date(date)
    if len(stamps) >= 2:
        ours, theirs = stamps[0], stamps[-1]
    cure = "Set this machine's clock (`timedatectl set-ntp true`), then run the same command again."
    apart = abs(round((ours - theirs).total_seconds())) if theirs else 0
    if theirs is None or apart < SLIGHTLY:
        return f"This machine's clock says {ours:%Y-%m-%d %H:%M:%S} UTC, which AWS refuses. {cure}"
    words = f"{apart // 3600} h {apart % 3600 // 60} min" if apart >= 3600 else f"{apart // 60} min {apart % 60} s"
    return f"This machine's clock says {ours:%Y-%m-%d %H:%M:%S} UTC, AWS's {theirs:%Y-%m-%d %H:%M:%S} UTC: {words} apart. {cure}"


def _parse_date(text: str) -> datetime | None:
    try:
        return parsedate_to_datetime(text)
    except (ValueError, TypeError):
        return None
