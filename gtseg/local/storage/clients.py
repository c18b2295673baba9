"""boto3 clients of an external S3 service, with the credentials of one profile."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Any

from gtseg.local.errors import ServiceError
from gtseg.local.storage.answers import limit_answers
from gtseg.local.storage.heads import limit_heads
from gtseg.local.storage.rights import S3_ACTIONS

AWS = "aws"
CONNECT_SECONDS, ATTEMPTS, POOL = 5, 2, 64
ANSWER_BYTES = 16 << 20
"""Size limit of responses other than object bodies: listings of at most 1,000 keys, and errors."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Time limits of a request, in seconds."""

    read_seconds: float = 10.0
    """Time without a byte from the service."""
    head_seconds: float = 30.0
    """Time for the request and the response's head as a whole."""
    write_seconds: float = 120.0
    """Additional time for the response to a write: completing a multipart upload can take a service long."""
    body_seconds: float = 30.0
    """Time for the body; an object's body gets more according to its size."""


LIMITS = Limits()


class Clients:
    """Clients for signed and unsigned reads and writes, with the credentials at the time of creation. Thread-safe."""

    def __init__(self, service: str, profile: str, limits: Limits) -> None:
        """Load the credentials. Raises ServiceError for an unknown profile or invalid settings."""
        self.service, self.profile = service, profile
        self._limits = limits
        self._lock = threading.Lock()
        self._session, self._config = self._connect()
        self._clients: dict[tuple[bool, bool], Any] = {}
        """(signs, writes) -> client, created on first use."""
        self.get(signs=True)

    @property
    def endpoint(self) -> str:
        return self.service if self.service != AWS else str(self.get(signs=True).meta.endpoint_url)

    def find_secret(self, access_key: str) -> str | None:
        """Return the secret of the profile's own long-term access key; None for any other key.

        Sends no request: temporary credentials are not fetched for it.
        """
        from botocore.credentials import RefreshableCredentials

        keys = self._keys
        if keys is None or isinstance(keys, RefreshableCredentials) or keys.token or keys.access_key != access_key:
            return None
        return str(keys.secret_key)

    @property
    def has_keys(self) -> bool:
        """Whether there is a source of credentials."""
        return self._keys is not None

    def load_keys(self) -> None:
        """Fetch temporary credentials if that is due. Raises boto3's errors."""
        if self._keys is not None:
            self._keys.get_frozen_credentials()

    def get_status(self) -> int:
        """Send an unsigned GET request to the service's address as boto3 would; return the HTTP status."""
        from botocore.awsrequest import AWSRequest

        session = self.get(signs=False)._endpoint.http_session
        request = AWSRequest("GET", self.endpoint, stream_output=False).prepare()
        return int(session.send(request).status_code)

    def get(self, *, signs: bool, writes: bool = False) -> Any:
        """Return the client for signed or unsigned requests; `writes` selects the longer time-out."""
        with self._lock:
            if (signs, writes) not in self._clients:
                self._clients[signs, writes] = self._make_client(signs, writes)
            return self._clients[signs, writes]

    def _connect(self) -> tuple[Any, Any]:
        """Return a boto3 session with the current credentials, and the configuration of its clients."""
        import boto3
        import botocore.session
        from botocore.config import Config
        from botocore.exceptions import BotoCoreError, ProfileNotFound

        core = botocore.session.Session(profile=self.profile or None)
        try:
            session = boto3.Session(botocore_session=core)
            self._keys = session.get_credentials()
            style = (core.get_scoped_config().get("s3") or {}).get("addressing_style")
            more: dict[str, Any] = {"s3": {"addressing_style": style or ("auto" if self.service == AWS else "path")}}
            config = Config(
                connect_timeout=CONNECT_SECONDS,
                retries={"mode": "standard", "max_attempts": ATTEMPTS},
                max_pool_connections=POOL,
                request_checksum_calculation="when_required",  # uploads have Content-MD5, which every S3 service checks
                ignore_configured_endpoint_urls=True,
                user_agent_extra="gtseg-local",
                **more,
            )
        except ProfileNotFound:
            raise ServiceError(
                "NoProfile", f"The AWS profile {self.profile!r} (--s3-profile) does not exist."
            ) from None
        except (BotoCoreError, ValueError) as error:
            raise self._invalid(error) from None
        return session, config

    def _make_client(self, signs: bool, writes: bool) -> Any:
        from botocore import UNSIGNED
        from botocore.config import Config
        from botocore.exceptions import BotoCoreError

        limits = self._limits
        config = self._config if signs else self._config.merge(Config(signature_version=UNSIGNED))
        try:
            client = self._session.client(
                "s3",
                endpoint_url=None if self.service == AWS else self.service,
                region_name=self._session.region_name or "us-east-1",
                config=config.merge(Config(read_timeout=limits.read_seconds + limits.write_seconds * writes)),
            )
        except (BotoCoreError, ValueError) as error:
            raise self._invalid(error) from None
        client.meta.events.register("before-call.s3", check_listed)
        limit_heads(client, limits.head_seconds + limits.write_seconds * writes)
        limit_answers(client, ANSWER_BYTES, seconds=limits.body_seconds)
        return client

    def _invalid(self, error: Exception) -> ServiceError:
        return ServiceError("NoStorage", f"--s3 {self.service}: {describe(error)}")


def check_listed(model: Any, **_: Any) -> None:
    """Raise AssertionError for an operation that S3_ACTIONS does not list, including boto3's own redirects."""
    if model.name not in S3_ACTIONS:
        raise AssertionError(f"{model.name} is not in S3_ACTIONS")


def describe(error: Exception) -> str:
    """Return a botocore error's text as one line of at most 300 characters."""
    return " ".join(str(error).split())[:300]
