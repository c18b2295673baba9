"""boto3 is imported here only, and ClientError becomes AWSError here only.

The standard AWS configuration (profile, region, AWS_ENDPOINT_URL*, retries) is botocore's to read; nothing of it is copied.
"""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from typing import Any
from urllib.parse import urlsplit

from gtseg.aws.damage import watch_answers
from gtseg.aws.models import Models
from gtseg.errors import AWSError, SettingsError

TRANSIENT_CODES = frozenset(
    {
        "ConnectionError", "InternalError", "InternalFailure", "InternalServerError", "InternalServiceError", "RequestTimeout",
        "RequestTimeoutException", "RequestLimitExceeded", "ServiceUnavailable", "SlowDown", "Throttling", "ThrottlingException",
        "ThrottledException", "TooManyRequestsException", "ProvisionedThroughputExceededException", "BandwidthLimitExceeded",
        "TransactionInProgressException", "EC2ThrottledException", "PriorRequestNotComplete", "500", "502", "503", "504",
    }
)  # fmt: skip
"""What may pass by itself: throttling, AWS's own faults, a broken connection."""

ACCOUNT_ATTEMPTS = 5

HINTS = {
    "NoCredentials": "Configure AWS credentials (`aws configure`, AWS_PROFILE), or try without an account: `gtseg local exec -- ...`.",
    "ExpiredToken": "The session has expired: log in again.",
    "ExpiredTokenException": "The session has expired: log in again.",
    "NoRegion": "Name one: `[project] region`, AWS_REGION, AWS_DEFAULT_REGION, or a profile that has one. "
    "For the embedded AWS export the lines that `gtseg local up` prints, or use `gtseg local exec -- ...`.",
    "ConnectionError": "Is the address reachable, and AWS_ENDPOINT_URL (if set) right?",
    "AccessDenied": "The caller's policy (or the bucket's) must allow it.",
    "AccessDeniedException": "The caller's policy must allow it.",
}


class Clients:
    """One lazily made boto3 client per service, all of one account and region."""

    def __init__(self, *, region: str | None = None, profile: str | None = None) -> None:
        self._region, self._profile = region, profile

    @cached_property
    def session(self) -> Any:
        import boto3

        with translate("configuration"):
            session = boto3.Session(region_name=self._region, profile_name=self._profile)
            session._session.get_component("data_loader").file_loader = Models()
        watch_answers(session.events)
        return session

    @cached_property
    def region(self) -> str:
        # boto3 reads AWS_DEFAULT_REGION only; AWS_REGION is what every newer SDK and the CLI read first.
        if not (region := self._region or os.environ.get("AWS_REGION") or self.session.region_name):
            raise SettingsError(f"No AWS region is configured. {HINTS['NoRegion']}")
        return str(region)

    @cached_property
    def account(self) -> str:
        """The twelve digits of the caller's account. Everything is named after them: an answer without them is asked for again."""
        for _ in range(ACCOUNT_ATTEMPTS):
            with translate("GetCallerIdentity"):
                account = str(self.sts.get_caller_identity().get("Account"))
            if re.fullmatch(r"[0-9]{12}", account):
                return account
        raise AWSError("GetCallerIdentity", "InternalError", f"{account!r} is no account: not AWS's answer")

    @cached_property
    def is_local(self) -> bool:
        """Whether SageMaker's endpoint is on this machine: nothing there costs money."""
        host = urlsplit(self.sagemaker.meta.endpoint_url).hostname or ""
        try:
            return host == "localhost" or ipaddress.ip_address(host).is_loopback
        except ValueError:
            return False

    @cached_property
    def ends_with_command(self) -> bool:
        """Whether SageMaker's endpoint is a server that runs for one command only and stops with it.

        Whoever starts such a server names it in GTSEG_LOCAL_EXEC, as `gtseg local exec` does.
        """
        passing = os.environ.get("GTSEG_LOCAL_EXEC", "").rstrip("/")
        return bool(passing) and str(self.sagemaker.meta.endpoint_url).rstrip("/") == passing

    def client(self, service: str, **config: Any) -> Any:
        """A new client; `config` goes to botocore's Config (standard retries, unless the user configured others)."""
        from botocore.config import Config

        with translate("configuration"):
            settings = Config(retries=self._retries(), **config)
            return self.session.client(service, region_name=self.region, config=settings)

    @cached_property
    def s3(self) -> Any:
        return self.client("s3", max_pool_connections=64)

    def unsigned(self) -> Clients:
        """Clients whose S3 asks as nobody: for public buckets that answer the anonymous only."""
        from botocore import UNSIGNED

        other = Clients(region=self._region, profile=self._profile)
        other.__dict__["session"] = self.session
        other.__dict__["s3"] = self.client("s3", max_pool_connections=64, signature_version=UNSIGNED)
        return other

    @cached_property
    def sagemaker(self) -> Any:
        return self.client("sagemaker")

    @cached_property
    def runtime(self) -> Any:
        return self.client("sagemaker-runtime", max_pool_connections=64)

    @cached_property
    def logs(self) -> Any:
        return self.client("logs")

    @cached_property
    def sts(self) -> Any:
        return self.client("sts")

    @cached_property
    def iam(self) -> Any:
        return self.client("iam")

    def _retries(self) -> Any:
        """Standard mode and five attempts, except for what the user's own AWS configuration says."""
        configured = self.session._session.get_config_variable
        mode, attempts = configured("retry_mode"), configured("max_attempts")
        standard = {"mode": "standard"} if mode in (None, "legacy") else {}
        return standard | ({"total_max_attempts": 5} if attempts is None else {})


@contextmanager
def translate(operation: str) -> Iterator[None]:
    """Every botocore error inside becomes AWSError(operation, AWS's code, AWS's message)."""
    from botocore import exceptions as aws
    from botocore.parsers import ResponseParserError

    try:
        yield
    except ResponseParserError as error:
        raise AWSError(
            operation, "InternalError", f"the answer is not AWS's: {_text(error)[:200]}"
        ) from error
    except aws.ClientError as error:
        raise from_response(operation, error.response) from error
    except (aws.NoCredentialsError, aws.PartialCredentialsError, aws.CredentialRetrievalError) as error:
        raise AWSError(operation, "NoCredentials", _text(error), hint=HINTS["NoCredentials"]) from error
    except aws.ProfileNotFound as error:
        raise AWSError(operation, "NoCredentials", _text(error)) from error
    except aws.TokenRetrievalError as error:
        raise AWSError(operation, "ExpiredToken", _text(error), hint=HINTS["ExpiredToken"]) from error
    except aws.NoRegionError as error:
        raise SettingsError(f"No AWS region is configured. {HINTS['NoRegion']}") from error
    except aws.ParamValidationError as error:
        raise AWSError(operation, "ParamValidation", _text(error)) from error
    except (aws.HTTPClientError, aws.ConnectionError) as error:
        raise AWSError(operation, "ConnectionError", _text(error), hint=HINTS["ConnectionError"]) from error
    except aws.BotoCoreError as error:
        raise AWSError(operation, type(error).__name__, _text(error)) from error


def from_response(operation: str, response: Mapping[str, Any]) -> AWSError:
    """AWSError of an error answer; a HEAD has no body, its status is its code."""
    error, about = response.get("Error", {}), response.get("ResponseMetadata", {})
    code = str(error.get("Code") or about.get("HTTPStatusCode") or "Unknown")
    failure = AWSError(operation, code, str(error.get("Message") or "no message"), hint=HINTS.get(code, ""))
    failure.was_retried = bool(about.get("RetryAttempts"))
    return failure


def is_transient(error: BaseException) -> bool:
    return isinstance(error, AWSError) and error.code in TRANSIENT_CODES


def _text(error: BaseException) -> str:
    return " ".join(str(error).split())
