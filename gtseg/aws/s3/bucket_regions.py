"""Each bucket's endpoint with the signer of its region, found once, found again when S3 says that the bucket lives elsewhere."""

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


class Asked(Protocol):
    """What a request's head is made of."""

    @property
    def method(self) -> str: ...
    @property
    def query(self) -> str: ...
    @property
    def headers(self) -> Mapping[str, str]: ...
    @property
    def body(self) -> bytes | FileBody: ...


@dataclass(frozen=True, slots=True)
class Place:
    """Where requests for one bucket go. No signer: they go unsigned."""

    endpoint: Endpoint
    signer: Signer | None

    def head(self, asked: Asked, key: str) -> bytes:
        """Request line and headers, signed, as they go over the wire."""
        path = self.endpoint.base + quote_path(key)
        fields = {"host": self.endpoint.host_header, **asked.headers}
        pairs = list(fields.items())
        if self.signer:
            pairs = self.signer.sign(asked.method, path, query=asked.query, headers=fields, body=asked.body)
        lines = "".join([f"{name}: {value}\r\n" for name, value in pairs])
        length = f"content-length: {len(asked.body)}\r\n" if asked.method in ("PUT", "POST") else ""
        target = f"{path}?{asked.query}" if asked.query else path
        return f"{asked.method} {target} HTTP/1.1\r\n{lines}{length}\r\n".encode("latin-1")


class Places:
    """The places of all buckets of one account."""

    def __init__(self, clients: Clients) -> None:
        self._clients = clients
        self._known: dict[tuple[str, bool], Place] = {}
        self._signers: dict[str, Signer] = {}
        self._lock = threading.Lock()

    def find(self, bucket: str, *, is_anonymous: bool = False) -> Place:
        if (place := self._known.get((bucket, is_anonymous))) is None:
            with self._lock:
                if (place := self._known.get((bucket, is_anonymous))) is None:
                    place = self._known[bucket, is_anonymous] = self._look(bucket, is_anonymous)
        return place

    def is_moved(self, place: Place, answer: Answer, code: str) -> bool:
        """Whether S3 says that the bucket lives in another region than the one that was asked."""
        region = answer.headers.get("x-amz-bucket-region")
        elsewhere = region is not None and place.endpoint.region not in (None, region)
        return answer.status in (301, 307) or code in MOVED or elsewhere

    def move(self, bucket: str, *, is_anonymous: bool) -> None:
        """Ask boto3 where the bucket lives."""
        learn_region(self._client(is_anonymous), bucket)
        with self._lock:
            self._known.pop((bucket, is_anonymous), None)

    def _look(self, bucket: str, is_anonymous: bool) -> Place:
        endpoint = find_endpoint(self._client(is_anonymous), bucket)
        if endpoint.region is None:
            return Place(endpoint, None)
        if endpoint.region not in self._signers:
            credentials = self._clients.session.get_credentials()
            self._signers[endpoint.region] = Signer(credentials, endpoint.region)
        return Place(endpoint, self._signers[endpoint.region])

    def _client(self, is_anonymous: bool) -> Any:
        return (self._clients.unsigned() if is_anonymous else self._clients).s3
