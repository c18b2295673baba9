"""Endpoint and signer of each bucket's region, cached, and resolved again when S3 redirects to another region."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from gtseg.aws.s3.bodies import FileBody
from gtseg.aws.s3.connections import Answer
from gtseg.aws.s3.endpoints import Endpoint, find_endpoint, learn_region
from gtseg.aws.s3.signing import Signer, quote_path

if TYPE_CHECKING:
    from gtseg.aws.clients import Clients

MOVED = frozenset({"PermanentRedirect", "TemporaryRedirect", "AuthorizationHeaderMalformed"})


class RequestFields(Protocol):
    """Request fields that determine the request line and headers."""

    @property
    def method(self) -> str: ...
    @property
    def query(self) -> str: ...
    @property
    def headers(self) -> Mapping[str, str]: ...
    @property
    def body(self) -> bytes | FileBody: ...


@dataclass(frozen=True, slots=True)
class Route:
    """Where requests for one bucket go. Without a signer they are unsigned."""

    endpoint: Endpoint
    signer: Signer | None

    def head(self, request: RequestFields, key: str) -> bytes:
        """Return the signed request line and headers in wire format."""
        path = self.endpoint.base + quote_path(key)
        fields = {"host": self.endpoint.host_header, **request.headers}
        pairs = list(fields.items())
        if self.signer:
            pairs = self.signer.sign(request.method, path, query=request.query, headers=fields, body=request.body)
        lines = "".join([f"{name}: {value}\r\n" for name, value in pairs])
        length = f"content-length: {len(request.body)}\r\n" if request.method in ("PUT", "POST") else ""
        target = f"{path}?{request.query}" if request.query else path
        return f"{request.method} {target} HTTP/1.1\r\n{lines}{length}\r\n".encode("latin-1")


class Routes:
    """Routes of all buckets of one account."""

    def __init__(self, clients: Clients) -> None:
        self._clients = clients
        self._known: dict[tuple[str, bool], Route] = {}
        self._signers: dict[str, Signer] = {}
        self._lock = threading.Lock()

    def find(self, bucket: str, *, is_anonymous: bool = False) -> Route:
        if (route := self._known.get((bucket, is_anonymous))) is None:
            with self._lock:
                if (route := self._known.get((bucket, is_anonymous))) is None:
                    route = self._known[bucket, is_anonymous] = self._resolve(bucket, is_anonymous)
        return route

    def is_redirected(self, route: Route, answer: Answer, code: str) -> bool:
        """Return whether S3 responded that the bucket is in another region."""
        region = answer.headers.get("x-amz-bucket-region")
        elsewhere = region is not None and route.endpoint.region not in (None, region)
        return answer.status in (301, 307) or code in MOVED or elsewhere

    def move(self, bucket: str, *, is_anonymous: bool) -> None:
        """Resolve the bucket's region again with boto3."""
        learn_region(self._client(is_anonymous), bucket)
        with self._lock:
            self._known.pop((bucket, is_anonymous), None)

    def _resolve(self, bucket: str, is_anonymous: bool) -> Route:
        endpoint = find_endpoint(self._client(is_anonymous), bucket)
        if endpoint.region is None:
            return Route(endpoint, None)
        if endpoint.region not in self._signers:
            credentials = self._clients.session.get_credentials()
            self._signers[endpoint.region] = Signer(credentials, endpoint.region)
        return Route(endpoint, self._signers[endpoint.region])

    def _client(self, is_anonymous: bool) -> Any:
        return (self._clients.unsigned() if is_anonymous else self._clients).s3
