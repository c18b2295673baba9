"""boto3 is imported here only.

The standard AWS configuration (profile, region, AWS_ENDPOINT_URL*, retries) is botocore's to read; nothing of it is copied.
"""

from __future__ import annotations

import ipaddress
import os
import re
from functools import cached_property
from typing import Any
from urllib.parse import urlsplit

from gtseg.aws.contact import Contact
from gtseg.aws.credentials import ask_on_terminal
from gtseg.aws.damage import watch_answers
from gtseg.aws.encryption import Encryption, Extras
from gtseg.aws.failures import from_response, is_transient, translate
from gtseg.aws.models import Models
from gtseg.aws.refusals import NO_REGION
from gtseg.errors import AWSError, SettingsError

__all__ = ["Clients", "from_response", "is_transient", "translate"]

ACCOUNT_ATTEMPTS = 5
CONNECT_SECONDS = 10
"""botocore: 60; a connection that takes more than ten seconds is better tried again."""
INVOCATION_SECONDS = 70
TWICE = {"mode": "standard", "total_max_attempts": 2}


class Clients:
    """One lazily made boto3 client per service, all of one account and region."""

    def __init__(
        self,
        *,
        region: str | None = None,
        profile: str | None = None,
        encryption: Encryption | None = None,
        requester_pays: bool = False,
    ) -> None:
        self._region, self._profile = region, profile
        self.encryption, self.requester_pays = encryption or Encryption(), requester_pays
        self.contact = Contact()

    @cached_property
    def session(self) -> Any:
        import boto3

        with translate("configuration"):
            session = boto3.Session(region_name=self._region, profile_name=self._profile)
            session._session.get_component("data_loader").file_loader = Models()
            ask_on_terminal(session._session)
        watch_answers(session.events, self.contact)
        Extras(self.encryption, self.requester_pays).register(session.events)
        return session

    @cached_property
    def region(self) -> str:
        # boto3 reads AWS_DEFAULT_REGION only; AWS_REGION is what every newer SDK and the CLI read first.
        if not (region := self._region or os.environ.get("AWS_REGION") or self.session.region_name):
            raise SettingsError(f"No AWS region is configured. {NO_REGION}")
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
            settings = Config(connect_timeout=CONNECT_SECONDS, **{"retries": self._retries(), **config})
            return self.session.client(service, region_name=self.region, config=settings)

    @cached_property
    def s3(self) -> Any:
        return self.client("s3", max_pool_connections=64)

    def unsigned(self) -> Clients:
        """Clients whose S3 asks as nobody: for public buckets that answer the anonymous only."""
        from botocore import UNSIGNED

        other = Clients(region=self._region, profile=self._profile, encryption=self.encryption)
        other.__dict__["session"], other.contact = self.session, self.contact
        other.__dict__["s3"] = self.client("s3", max_pool_connections=64, signature_version=UNSIGNED)
        return other

    @cached_property
    def sagemaker(self) -> Any:
        return self.client("sagemaker")

    @cached_property
    def runtime(self) -> Any:
        """An answer takes a minute at most (API); who has waited that long has waited for nothing, and is not made to five times."""
        return self.client(
            "sagemaker-runtime", max_pool_connections=64, read_timeout=INVOCATION_SECONDS, retries=TWICE
        )

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
