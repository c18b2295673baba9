"""Exceptions of gtseg and the exit code that each one ends a command with.

GtsegError            1  base class; the message names the thing, its value and what to do
├── SettingsError     2  invalid key in gtseg.toml, environment variable or flag
├── StageError        3  the input of a stage does not exist yet; names the command to run
├── ManifestError     1  invalid manifest line: its number and what is missing
├── ImageError        1  unusable image
├── MaskError         1  invalid mask: image, color or size
├── AWSError          1  failed AWS call: operation, code, message (3 not found, 4 credentials or permission)
├── JobFailed         1  a job ended as Failed or Stopped: AWS's reason
├── WaitTimeout       1  the operation did not finish in time; says how to resume
└── Interrupted     130  Ctrl-C; the state is saved, says how to continue
"""

from __future__ import annotations

CREDENTIAL_CODES = frozenset(
    {
        "403", "401", "AccessDenied", "AccountProblem", "AllAccessDisabled", "AccessDeniedException",
        "AuthFailure", "AuthorizationError", "ExpiredToken", "ExpiredTokenException", "Forbidden",
        "ForbiddenException", "IDPCommunicationError", "IDPRejectedClaim", "IncompleteSignature",
        "IncompleteSignatureException", "InvalidAccessKeyId", "InvalidClientTokenId", "InvalidGrantException",
        "InvalidIdentityToken", "InvalidSecurity", "InvalidSignatureException", "InvalidToken",
        "KMSAccessDeniedException", "MissingAuthenticationToken", "MissingAuthenticationTokenException",
        "NoCredentials", "NotAuthorized", "NotSignedUp", "OptInRequired", "PendingVerification",
        "RegionDisabledException", "RequestExpired", "RequestTimeTooSkewed", "SignatureDoesNotMatch",
        "SubscriptionRequiredException", "TokenRefreshRequired", "UnauthorizedException",
        "UnauthorizedOperation", "UnrecognizedClientException",
    }
)  # fmt: skip
NOT_FOUND_CODES = frozenset(
    {"404", "NoSuchBucket", "NoSuchKey", "NotFound", "ResourceNotFound", "ResourceNotFoundException"}
)


class GtsegError(Exception):
    """Base class of all errors that a user may cause or fix. `str(error)` is one complete message."""

    exit_code = 1


class SettingsError(GtsegError):
    exit_code = 2


class StageError(GtsegError):
    exit_code = 3


class ManifestError(GtsegError):
    pass


class ImageError(GtsegError):
    pass


class MaskError(GtsegError):
    pass


class JobFailed(GtsegError):
    pass


class WaitTimeout(GtsegError):
    pass


class Interrupted(GtsegError):
    exit_code = 130


class AWSError(GtsegError):
    """An AWS call that failed permanently: `operation`, AWS's own `code` and `message`.

    `was_retried`: the response is that of a retry; an earlier attempt may have succeeded and its response was lost.
    `is_final`: retrying cannot help, although `code` is one of the transient ones.
    """

    was_retried = False
    is_final = False

    def __init__(
        self, operation: str, code: str, message: str, *, hint: str = "", exit_code: int | None = None
    ) -> None:
        self.operation, self.code, self.message, self.hint = operation, code, message, hint
        self._exit_code = exit_code
        ended = message if not hint or message.endswith((".", "!", "?")) else f"{message}."
        super().__init__(f"{operation} failed: {code}: {ended}" + (f" {hint}" if hint else ""))

    @property
    def exit_code(self) -> int:  # type: ignore[override]
        if self._exit_code is not None:
            return self._exit_code
        if self.code in CREDENTIAL_CODES:
            return 4
        return 3 if self.code in NOT_FOUND_CODES else 1


def reason_given(reason: str) -> str:
    """Return AWS's failure reason without its final period, for use in a sentence; a default text if it is empty."""
    return reason.strip().removesuffix(".") or "AWS gave no reason"
