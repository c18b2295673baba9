"""Conversion of botocore errors to AWSError with AWS's code, AWS's message and a hint. No other module does this."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

from gtseg.aws.reachability import proxy_variable
from gtseg.aws.refusals import NO_CREDENTIALS, NO_REGION, NOT_AWS, refusal
from gtseg.errors import AWSError, SettingsError

T = TypeVar("T")

TRANSIENT_CODES = frozenset(
    {
        "ConnectionError",
        "InternalError",
        "InternalFailure",
        "InternalServerError",
        "InternalServiceError",
        "RequestTimeout",
        "RequestTimeoutException",
        "RequestLimitExceeded",
        "ServiceUnavailable",
        "ServiceUnavailableException",
        "SlowDown",
        "Throttling",
        "ThrottlingException",
        "ThrottledException",
        "TooManyRequestsException",
        "ProvisionedThroughputExceededException",
        "BandwidthLimitExceeded",
        "TransactionInProgressException",
        "EC2ThrottledException",
        "PriorRequestNotComplete",
        "500",
        "502",
        "503",
        "504",
    }
)
"""Error codes of temporary failures: throttling, server errors, broken connections."""
CREDENTIAL_MODULES = ("botocore.credentials", "botocore.tokens")
PARSER_MODULES = ("botocore.parsers",)
"""botocore modules that let errors of any kind escape on well-formed responses of another service."""
BAD_ENDPOINT = ("Invalid endpoint: ", "Port ", "Custom endpoint ")
"""Prefixes of botocore and urllib errors that an invalid endpoint URL causes."""
ADDRESS = (
    "Write http://HOST:PORT or https://HOST in AWS_ENDPOINT_URL, AWS_ENDPOINT_URL_S3 or similar, or endpoint_url of "
    "the profile."
)
REACHABLE = "Is the address reachable, and AWS_ENDPOINT_URL (if set) right?"


@contextmanager
def translate(operation: str) -> Iterator[None]:
    """Raise botocore errors of the block as AWSError(operation, AWS's code, AWS's message)."""
    from botocore import exceptions as aws
    from botocore.parsers import ResponseParserError

    try:
        yield
    except ResponseParserError as error:
        raise AWSError(operation, "InternalError", f"the response is not from AWS: {_text(error)[:200]}") from error
    except aws.ClientError as error:
        raise from_response(operation, error.response) from error
    except aws.NoRegionError as error:
        raise SettingsError(f"No AWS region is configured. {NO_REGION}") from error
    except (aws.ConfigNotFound, aws.ConfigParseError) as error:
        raise SettingsError(f"{_text(error)}. Correct the file, or name another in AWS_CONFIG_FILE.") from error
    except aws.ParamValidationError as error:
        raise refusal(operation, "ParamValidation", _text(error)) from error
    except (aws.HTTPClientError, aws.ConnectionError) as error:
        raise _unreachable(operation, error) from error
    except aws.BotoCoreError as error:
        if _text(error).startswith(BAD_ENDPOINT):
            raise _invalid_endpoint(error) from error
        raise _of_botocore(operation, error) from error
    except (AttributeError, EOFError, LookupError, OSError, RuntimeError, TypeError, ValueError) as error:
        if _comes_from(error, PARSER_MODULES):
            words = f"the response is not from AWS: {type(error).__name__} {_text(error)[:200]}"
            foreign = AWSError(operation, NOT_AWS, words, hint=REACHABLE)
            foreign.is_final = True
            raise foreign from error
        if isinstance(error, ValueError) and _text(error).startswith(BAD_ENDPOINT):
            raise _invalid_endpoint(error) from error
        if not _comes_from_credentials(error):
            raise
        raise _no_credentials(operation, f"{type(error).__name__}: {_text(error)}") from error


def _of_botocore(operation: str, error: Any) -> AWSError:
    from botocore import exceptions as aws

    text = _text(error)
    if isinstance(error, aws.LoginError):
        return AWSError(operation, "ExpiredToken", text, hint=f"Log in: `aws login{_profile()}`.")
    if isinstance(error, aws.SSOError | aws.TokenRetrievalError):
        return AWSError(operation, "ExpiredToken", text, hint=f"Log in: `aws sso login{_profile()}`.")
    if isinstance(error, aws.RefreshWithMFAUnsupportedError):
        hint = "The MFA session has ended: run the same command again and enter a new code."
        return AWSError(operation, "ExpiredToken", text, hint=hint)
    lacking = (
        aws.NoCredentialsError,
        aws.PartialCredentialsError,
        aws.CredentialRetrievalError,
        aws.ProfileNotFound,
        aws.MetadataRetrievalError,
        aws.NoAuthTokenError,
        aws.UnknownCredentialError,
        aws.InvalidConfigError,
    )
    if isinstance(error, lacking) or _comes_from_credentials(error):
        return _no_credentials(operation, text)
    return AWSError(operation, type(error).__name__, text)


def _invalid_endpoint(error: BaseException) -> SettingsError:
    return SettingsError(f"An endpoint of the AWS configuration is not a valid URL. {_text(error)}. {ADDRESS}")


def _no_credentials(operation: str, text: str) -> AWSError:
    if "MFA" in text:
        hint = f"Run `aws sts get-caller-identity{_profile()}` on a terminal once: gtseg uses the same session."
        return AWSError(operation, "NoCredentials", text, hint=hint)
    if "sso" in text.lower():
        return AWSError(operation, "NoCredentials", text, hint=f"Log in: `aws sso login{_profile()}`.")
    return AWSError(operation, "NoCredentials", text, hint=NO_CREDENTIALS)


def _profile() -> str:
    name = os.environ.get("AWS_PROFILE") or os.environ.get("AWS_DEFAULT_PROFILE")
    return f" --profile {name}" if name else ""


def _comes_from_credentials(error: BaseException) -> bool:
    """Return whether the error was raised while resolving credentials: the providers let errors of any kind escape."""
    return _comes_from(error, CREDENTIAL_MODULES)


def _comes_from(error: BaseException, modules: tuple[str, ...]) -> bool:
    """Return whether one of these modules is in the traceback of the error."""
    trace = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_globals.get("__name__") in modules:
            return True
        trace = trace.tb_next
    return False


def _unreachable(operation: str, error: Any) -> AWSError:
    from botocore import exceptions as aws

    text, address = _text(error), str(getattr(error, "kwargs", {}).get("endpoint_url", ""))
    if isinstance(error, aws.SSLError) and "CERTIFICATE" in text.upper():
        hint = (
            "A proxy that intercepts TLS presents its own certificate: name its certificate authority in AWS_CA_BUNDLE."
        )
        failure = AWSError(operation, "ConnectionError", text, hint=hint)
        failure.is_final = True
        return failure
    if isinstance(error, aws.ProxyConnectionError):
        hint = "HTTP_PROXY or HTTPS_PROXY names it; hosts in NO_PROXY bypass it: export NO_PROXY=127.0.0.1,localhost"
        return AWSError(operation, "ConnectionError", text, hint=f"{hint} for the embedded AWS.")
    if isinstance(error, aws.ReadTimeoutError):
        return refusal(operation, "RequestTimeout", text)
    proxy = proxy_variable(address, os.environ) if address else None
    words = f"{proxy} sends the request through a proxy; hosts in NO_PROXY bypass it. " if proxy else ""
    return AWSError(operation, "ConnectionError", text, hint=words + REACHABLE)


def from_response(operation: str, response: Mapping[str, Any]) -> AWSError:
    """Convert an error response to AWSError. A response to HEAD has no body; its status is the code."""
    error, about = response.get("Error", {}), response.get("ResponseMetadata", {})
    code = str(error.get("Code") or about.get("HTTPStatusCode") or "Unknown")
    date = about.get("HTTPHeaders", {}).get("date", "")
    failure = refusal(operation, code, str(error.get("Message") or "no message"), date=date)
    failure.was_retried = bool(about.get("RetryAttempts"))
    return failure


def is_transient(error: BaseException) -> bool:
    return isinstance(error, AWSError) and error.code in TRANSIENT_CODES and not error.is_final


def read_answer(operation: str, answer: Any, read: Callable[[Any], T]) -> T:
    """Return `read(answer)`. Raises AWSError InternalError if it cannot be parsed: foreign, or damaged in transit."""
    try:
        return read(answer)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        words = f"the response is not from AWS: {type(error).__name__} {_text(error)}"
        raise AWSError(operation, "InternalError", words, hint=REACHABLE) from error


def _text(error: BaseException) -> str:
    return " ".join(str(error).split())
