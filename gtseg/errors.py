"""What can go wrong, and the exit code each error ends a command with.

GtsegError            1  the thing, its value, the way out
├── SettingsError     2  a key of gtseg.toml, the environment or a flag
├── StageError        3  asked for before its input exists; names the command to run
├── ManifestError     1  a manifest line: its number, what is missing
├── ImageError        1  an image that cannot be used
├── MaskError         1  a mask: image, colour or size
├── AWSError          1  operation, code, message (3 not found, 4 credentials or permission)
├── JobFailed         1  a job ended Failed or Stopped: the reason that AWS gave
├── WaitTimeout       1  still going when patience ended; says how to resume
└── Interrupted     130  Ctrl-C; state is saved, says how to come back
"""

from __future__ import annotations

__all__ = [
    "AWSError",
    "GtsegError",
    "ImageError",
    "Interrupted",
    "JobFailed",
    "ManifestError",
    "MaskError",
    "SettingsError",
    "StageError",
    "WaitTimeout",
    "reason_given",
]

CREDENTIAL_CODES = frozenset(
    {
        "403", "401", "AccessDenied", "AccountProblem", "AllAccessDisabled", "AccessDeniedException", "AuthFailure", "AuthorizationError", "ExpiredToken",
        "ExpiredTokenException", "Forbidden", "ForbiddenException", "IDPCommunicationError", "IDPRejectedClaim",
        "IncompleteSignature", "IncompleteSignatureException", "InvalidAccessKeyId", "InvalidClientTokenId",
        "InvalidGrantException", "InvalidIdentityToken", "InvalidSecurity", "InvalidSignatureException", "InvalidToken",
        "KMSAccessDeniedException", "MissingAuthenticationToken", "MissingAuthenticationTokenException", "NoCredentials",
        "NotAuthorized", "NotSignedUp", "OptInRequired", "PendingVerification", "RegionDisabledException", "RequestExpired",
        "RequestTimeTooSkewed", "SignatureDoesNotMatch", "SubscriptionRequiredException", "TokenRefreshRequired",
        "UnauthorizedException", "UnauthorizedOperation", "UnrecognizedClientException",
    }
)  # fmt: skip
NOT_FOUND_CODES = frozenset(
    {"404", "NoSuchBucket", "NoSuchKey", "NotFound", "ResourceNotFound", "ResourceNotFoundException"}
)


class GtsegError(Exception):
    """Base of every error that a user may cause or cure. Its text is one clear message."""

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
    """An AWS call that failed for good: `operation`, AWS's own `code` and `message`.

    `was_retried`: this is the answer to a later attempt; an earlier one may have done the work, and its answer got lost.
    `is_final`: asking again is of no use although the code is one of those that may pass by themselves.
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
    """AWS's reason for a failure as a part of a sentence: its own full stop goes; words where it gave none."""
    return reason.strip().removesuffix(".") or "AWS gave no reason"
