"""Where a bucket's requests go, and for which region they are signed: botocore's own answer, taken from a request that
it builds and that is never sent. So AWS_ENDPOINT_URL, profiles, addressing styles, dual stack, FIPS, access points and the
redirects that boto3 has learnt all hold here too."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from gtseg.aws.clients import translate
from gtseg.errors import AWSError

_KEY = "gtseg-where-is-this-bucket"
_ONE_AT_A_TIME = threading.Lock()
"""A second thread must not lose its handler when the first takes its own away: the request would be sent."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """`base` is the path before a key, with its slash: `/` or `/bucket/`. No region: requests go unsigned."""

    scheme: str
    host: str
    port: int
    base: str
    region: str | None

    @property
    def host_header(self) -> str:
        usual = self.port == (443 if self.scheme == "https" else 80)
        return self.host if usual else f"{self.host}:{self.port}"


class _Caught(Exception):
    def __init__(self, request: Any) -> None:
        self.request = request


def _catch(request: Any, **_: Any) -> None:
    if _KEY in request.url:  # other threads' requests of this client go on their way
        raise _Caught(request)


def find_endpoint(client: Any, bucket: str) -> Endpoint:
    """The endpoint that this boto3 S3 client uses for a bucket, as far as it knows by now."""
    with _ONE_AT_A_TIME:
        client.meta.events.register("before-send.s3.HeadObject", _catch, unique_id=_KEY)
        try:
            with translate(f"HeadBucket {bucket}"):
                client.head_object(Bucket=bucket, Key=_KEY)
        except _Caught as caught:
            return _read(caught.request, bucket)
        finally:
            client.meta.events.unregister("before-send.s3.HeadObject", _catch, unique_id=_KEY)
    raise AWSError(f"HeadBucket {bucket}", "NoEndpoint", "botocore sent a request that it should not have")


def learn_region(client: Any, bucket: str) -> None:
    """Let boto3 follow S3's redirect to the bucket's region; it remembers."""
    with translate(f"HeadBucket {bucket}"):
        client.head_bucket(Bucket=bucket)


def _read(request: Any, bucket: str) -> Endpoint:
    address = urlsplit(request.url)
    authorization = request.headers.get("Authorization", b"")
    text = authorization.decode() if isinstance(authorization, bytes) else authorization
    if text and not text.startswith("AWS4-HMAC-SHA256"):
        raise AWSError(
            f"HeadBucket {bucket}",
            "UnsupportedSignature",
            f"this bucket needs {text.split()[0]}; use a plain bucket",
        )
    region = text.split("Credential=")[1].split("/")[2] if text else None
    port = address.port or (443 if address.scheme == "https" else 80)
    return Endpoint(address.scheme, address.hostname or "", port, address.path[: -len(_KEY)], region)
