"""boto3 clients; the only module that imports boto3.

botocore reads the standard AWS configuration (profile, region, AWS_ENDPOINT_URL*, retries); nothing is copied from it.
"""

from __future__ import annotations

import os
import re
from functools import cached_property
from typing import Any, Literal

from gtseg.aws.credentials import ask_on_terminal
from gtseg.aws.damage import watch_answers
from gtseg.aws.encryption import Encryption, Extras
from gtseg.aws.failures import translate
from gtseg.aws.labeling_profile import LabelingProfile, profile_session, read_labeling_profile
from gtseg.aws.models import Models
from gtseg.aws.partitions import is_aws
from gtseg.aws.reachability import Contact
from gtseg.aws.refusals import NO_REGION
from gtseg.errors import AWSError, SettingsError

Service = Literal["labeling", "sagemaker", "s3"]
"""Services that may have separate endpoints: labeling jobs and workteams, all other SageMaker APIs, S3."""

ACCOUNT_ATTEMPTS = 5
CONNECT_SECONDS = 10
"""Connect timeout. botocore's default is 60; after ten seconds a new attempt is more likely to succeed."""
INVOCATION_SECONDS = 70
TWICE = {"mode": "standard", "total_max_attempts": 2}


class Clients:
    """Lazily created boto3 clients, one per service, in one account and region.

    Labeling clients may use another profile.
    """

    def __init__(
        self,
        *,
        region: str | None = None,
        profile: str | None = None,
        labeling_profile: str | None = None,
        encryption: Encryption | None = None,
        requester_pays: bool = False,
    ) -> None:
        self._region, self._profile, self._labeling_profile = region, profile, labeling_profile
        self.encryption, self.requester_pays = encryption or Encryption(), requester_pays
        self.contact = Contact()

    @cached_property
    def session(self) -> Any:
        import boto3

        with translate("configuration"):
            session = self._prepared(boto3.Session(region_name=self._region, profile_name=self._profile))
        Extras(self.encryption, self.requester_pays).register(session.events)
        return session

    def _prepared(self, session: Any) -> Any:
        session._session.get_component("data_loader").file_loader = Models()
        ask_on_terminal(session._session)
        watch_answers(session.events, self.contact)
        return session

    @cached_property
    def region(self) -> str:
        # boto3 reads AWS_DEFAULT_REGION only; newer SDKs and the AWS CLI read AWS_REGION first.
        if not (region := self._region or os.environ.get("AWS_REGION") or self.session.region_name):
            raise SettingsError(f"No AWS region is configured. {NO_REGION}")
        return str(region)

    @cached_property
    def account(self) -> str:
        """The caller's 12-digit account ID. It is part of every resource name, so a malformed response is retried."""
        for _ in range(ACCOUNT_ATTEMPTS):
            with translate("GetCallerIdentity"):
                account = str(self.sts.get_caller_identity().get("Account"))
            if re.fullmatch(r"[0-9]{12}", account):
                return account
        raise AWSError(
            "GetCallerIdentity",
            "InternalError",
            f"{account!r} is not a 12-digit account ID: the response is not from AWS",
        )

    @cached_property
    def labeling_profile(self) -> LabelingProfile | None:
        """The profile of the labeling clients; None if it is the default one.

        Raises SettingsError if it is incomplete.
        """
        if self._labeling_profile is None:
            return None
        with translate("configuration"):
            profile = read_labeling_profile(self._labeling_session._session, self._labeling_profile)
        self.contact.name_place(profile.endpoint, profile.place)
        return profile

    @cached_property
    def _labeling_session(self) -> Any:
        import boto3

        assert self._labeling_profile is not None
        with translate("configuration"):
            core = profile_session(self._labeling_profile)
            return self._prepared(boto3.Session(botocore_session=core, profile_name=self._labeling_profile))

    @cached_property
    def labeling(self) -> Any:
        """SageMaker client for labeling jobs, workteams and workforces."""
        return self.sagemaker if self.labeling_profile is None else self._labeling_client("sagemaker")

    @cached_property
    def identities(self) -> Any:
        """Cognito client for the members of private workforces."""
        if self.labeling_profile is None:
            return self.client("cognito-idp")
        return self._labeling_client("cognito-idp")

    def _labeling_client(self, service: str) -> Any:
        from botocore.config import Config

        profile = self.labeling_profile
        assert profile is not None
        with translate("configuration"):
            settings = Config(
                connect_timeout=CONNECT_SECONDS,
                retries=self._retries(self._labeling_session),
                # botocore rejects FIPS and dual stack of the environment together with an endpoint
                use_fips_endpoint=False,
                use_dualstack_endpoint=False,
            )
            return self._labeling_session.client(
                service,
                region_name=profile.region,
                endpoint_url=profile.endpoint,
                verify=profile.ca_bundle,
                config=settings,
            )

    @property
    def labeling_region(self) -> str:
        """The region of labeling jobs."""
        return self.labeling_profile.region if self.labeling_profile else self.region

    def endpoint(self, service: Service) -> str:
        """Return the endpoint URL of a service."""
        client = {
            "labeling": lambda: self.labeling,
            "sagemaker": lambda: self.sagemaker,
            "s3": lambda: self.s3,
        }
        return str(client[service]().meta.endpoint_url).rstrip("/")

    def is_aws(self, service: Service) -> bool:
        """Return whether the endpoint of a service is AWS's: calls may cost money, and AWS's limits apply."""
        return is_aws(self.endpoint(service))

    def ends_with_command(self, service: Service) -> bool:
        """Return whether the endpoint of a service is a server that runs for a single command only and stops with it.

        The program that starts such a server sets GTSEG_LOCAL_EXEC to its URL, as `gtseg local exec` does.
        """
        passing = os.environ.get("GTSEG_LOCAL_EXEC", "").rstrip("/")
        return bool(passing) and self.endpoint(service) == passing

    def client(self, service: str, **config: Any) -> Any:
        """Return a new client. `config` goes to botocore's Config; retries are standard unless the user configured
        others.
        """
        from botocore.config import Config

        with translate("configuration"):
            settings = Config(connect_timeout=CONNECT_SECONDS, **{"retries": self._retries(self.session), **config})
            return self.session.client(service, region_name=self.region, config=settings)

    @cached_property
    def s3(self) -> Any:
        return self.client("s3", max_pool_connections=64)

    def unsigned(self) -> Clients:
        """Return clients with unsigned S3 requests, for public buckets that reject signed ones."""
        from botocore import UNSIGNED

        other = Clients(
            region=self._region,
            profile=self._profile,
            labeling_profile=self._labeling_profile,
            encryption=self.encryption,
        )
        other.__dict__["session"], other.contact = self.session, self.contact
        other.__dict__["s3"] = self.client("s3", max_pool_connections=64, signature_version=UNSIGNED)
        return other

    @cached_property
    def sagemaker(self) -> Any:
        return self.client("sagemaker")

    @cached_property
    def runtime(self) -> Any:
        """SageMaker runtime client.

        The API limits a response to 60 s, so a call that timed out is retried only once.
        """
        return self.client("sagemaker-runtime", max_pool_connections=64, read_timeout=INVOCATION_SECONDS, retries=TWICE)

    @cached_property
    def logs(self) -> Any:
        return self.client("logs")

    @cached_property
    def sts(self) -> Any:
        return self.client("sts")

    @cached_property
    def iam(self) -> Any:
        return self.client("iam")

    @staticmethod
    def _retries(session: Any) -> Any:
        """Return retry settings: standard mode and five attempts, except where the user's AWS configuration sets
        others.
        """
        configured = session._session.get_config_variable
        mode, attempts = configured("retry_mode"), configured("max_attempts")
        standard = {"mode": "standard"} if mode in (None, "legacy") else {}
        return standard | ({"total_max_attempts": 5} if attempts is None else {})
