"""Endpoint and signing region of a bucket, taken from a request that botocore builds but never sends.

So AWS_ENDPOINT_URL, profiles, addressing styles, dual stack, FIPS, access points and the redirects that boto3 has
cached all apply.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from gtseg.aws.failures import translate
from gtseg.errors import AWSError

_KEY = "gtseg-where-is-this-bucket"
_ONE_AT_A_TIME = threading.Lock()
"""Serializes probes: a thread that removed another's handler would let its request be sent."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An S3 endpoint.

    `base`: the path before a key, with its slash (`/` or `/bucket/`). No region: unsigned requests.
    """

    scheme: str
    host: str
    port: int
    base: str
    region: str | None

    @property
    def host_header(self) -> str:
        usual = self.port == (443 if self.scheme == "https" else 80)
        return self.host if usual else f"{self.host}:{self.port}"


class _RequestCaptured(Exception):
    def __init__(self, request: Any) -> None:
        self.request = request


def _capture(request: Any, **_: Any) -> None:
    if _KEY in request.url:  # requests of other threads pass
        raise _RequestCaptured(request)


def find_endpoint(client: Any, bucket: str) -> Endpoint:
    """Return the endpoint that this boto3 S3 client currently uses for a bucket."""
    with _ONE_AT_A_TIME:
        client.meta.events.register("before-send.s3.HeadObject", _capture, unique_id=_KEY)
        try:
            with translate(f"HeadBucket {bucket}"):
                client.head_object(Bucket=bucket, Key=_KEY)
        except _RequestCaptured as caught:
            return _read(caught.request, bucket)
        finally:
            client.meta.events.unregister("before-send.s3.HeadObject", _capture, unique_id=_KEY)
    raise AWSError(
        f"HeadObject {bucket}",
        "NoEndpoint",
        "botocore sent a request that gtseg only asked it to sign: this version of botocore is not supported",
    )


def learn_region(client: Any, bucket: str) -> None:
    """Make boto3 follow S3's redirect to the bucket's region and cache it."""
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
            f"the bucket needs {text.split()[0]}, which is not supported; use a plain bucket",
        )
    region = text.split("Credential=")[1].split("/")[2] if text else None
    port = address.port or (443 if address.scheme == "https" else 80)
    return Endpoint(address.scheme, address.hostname or "", port, address.path[: -len(_KEY)], region)
