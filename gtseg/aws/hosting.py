"""Hosting API: models, endpoint configurations, endpoints and invocations, as plain values."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any, Literal, TypeVar

from gtseg.aws.calls import Calls, is_missing
from gtseg.aws.failures import translate
from gtseg.aws.waiting import persist
from gtseg.errors import AWSError

T = TypeVar("T")
Kind = Literal["endpoint", "endpoint-config", "model"]
COMING = frozenset({"Creating", "Updating", "RollingBack"})
"""Endpoint statuses in which it does not serve, or not yet the new configuration."""
SETTLED = frozenset({"InService", "Failed", "OutOfService", "UpdateRollbackFailed"})
_CALLS: dict[Kind, tuple[str, str]] = {
    "endpoint": ("endpoint", "EndpointName"),
    "endpoint-config": ("endpoint_config", "EndpointConfigName"),
    "model": ("model", "ModelName"),
}
_WORDS: dict[Kind, str] = {"endpoint": "Endpoint", "endpoint-config": "EndpointConfig", "model": "Model"}
MODEL_PAUSES = (0.5, 2.0)
"""Pauses in seconds before an image is sent again after a ModelError: out of memory passes as other requests end."""
BUSY = frozenset({"ModelNotReadyException", "ServiceUnavailable", "ServiceUnavailableException", "ThrottlingException"})
"""Error codes of an overloaded endpoint; the invocation is retried."""


@dataclass(frozen=True)
class Resource:
    """A model, endpoint configuration or endpoint. `status` is the endpoint's; 'Exists' for the other kinds."""

    kind: Kind
    name: str
    arn: str
    status: str = "Exists"
    created: datetime | None = None
    reason: str = ""
    parts: tuple[str, ...] = ()
    """Names of its parts: the configuration of an endpoint, the models of a configuration."""
    tags: Mapping[str, str] = field(default_factory=dict)


class Hosting(Calls):
    """Hosting API of one account and region. Retries throttling and server errors; other errors raise AWSError."""

    def create(self, kind: Kind, request: Mapping[str, Any]) -> str:
        """Create the resource and return its ARN. Raises AWSError ResourceInUse if the name is taken ('already
        existing').
        """
        try:
            return self._call(
                f"Create{_WORDS[kind]}",
                f"create_{_CALLS[kind][0]}",
                lambda answer: str(answer[f"{_WORDS[kind]}Arn"]),
                **request,
            )
        except AWSError as error:
            if "already exist" in error.message.lower():
                raise AWSError(error.operation, "ResourceInUse", error.message) from None
            raise

    def describe(self, kind: Kind, name: str) -> Resource:
        call, key = _CALLS[kind]
        operation = f"Describe{_WORDS[kind]} {name}"
        return self._call(operation, f"describe_{call}", partial(_resource, kind), **{key: name})

    def look(self, kind: Kind, name: str) -> Resource | None:
        """Return the resource without its tags, or None if there is none."""
        try:
            return self.describe(kind, name)
        except AWSError as error:
            if is_missing(error):
                return None
            raise

    def find(self, kind: Kind, name: str) -> Resource | None:
        """Return the resource with its tags, or None if there is none."""
        found = self.look(kind, name)
        return _tagged(found, self.tags(found.arn)) if found else None

    def delete(self, kind: Kind, name: str) -> bool:
        """Delete the resource. Return False if it did not exist."""
        call, key = _CALLS[kind]
        try:
            self._call(f"Delete{_WORDS[kind]} {name}", f"delete_{call}", dict, **{key: name})
        except AWSError as error:
            if is_missing(error):
                return False
            raise
        return True

    def list_all(self, kind: Kind, *, contains: str) -> Iterator[Resource]:
        """Iterate over resources without their tags, newest first."""
        call, _ = _CALLS[kind]
        items = {"endpoint": "Endpoints", "endpoint-config": "EndpointConfigs", "model": "Models"}[kind]

        def read_page(answer: Any) -> tuple[list[Resource], str | None]:
            return [_resource(kind, item) for item in answer.get(items, [])], answer.get("NextToken")

        token: str | None = None
        while True:
            page = {"NextToken": token} if token else {}
            found, token = self._call(f"List{items}", f"list_{call}s", read_page, NameContains=contains, **page)
            yield from found
            if not token:
                return

    def invoke(self, endpoint: str, body: bytes, *, content_type: str, accept: str, seconds: float = 120.0) -> bytes:
        """Invoke the endpoint and return the response body.

        Retries for `seconds` while the endpoint is overloaded or fails temporarily, and a few times after a ModelError.
        """
        for pause in MODEL_PAUSES:
            try:
                return self._invoke(endpoint, body, content_type=content_type, accept=accept, seconds=seconds)
            except AWSError as error:
                if error.code != "ModelError":
                    raise
            self._options.get("sleep", time.sleep)(pause)
        return self._invoke(endpoint, body, content_type=content_type, accept=accept, seconds=seconds)

    def _invoke(self, endpoint: str, body: bytes, *, content_type: str, accept: str, seconds: float) -> bytes:
        def call() -> bytes:
            try:
                with translate(f"InvokeEndpoint {endpoint}"):
                    answer = self._clients.runtime.invoke_endpoint(
                        EndpointName=endpoint, Body=body, ContentType=content_type, Accept=accept
                    )
                    return bytes(answer["Body"].read())
            except AWSError as error:
                if error.code in BUSY:
                    raise AWSError(error.operation, "ServiceUnavailable", error.message) from error
                raise

        return persist(call, seconds=seconds, **self._options)


def _resource(kind: Kind, item: Mapping[str, Any]) -> Resource:
    word = _WORDS[kind]
    variants = item.get("ProductionVariants", [])
    parts = {
        "endpoint": (item.get("EndpointConfigName"),),
        "endpoint-config": tuple(variant.get("ModelName") for variant in variants),
        "model": (),
    }[kind]
    return Resource(
        kind,
        item[f"{word}Name"],
        item[f"{word}Arn"],
        status=item.get("EndpointStatus", "Exists"),
        created=item.get("CreationTime"),
        reason=item.get("FailureReason", ""),
        parts=tuple(part for part in parts if part),
    )


def _tagged(found: Resource, tags: Mapping[str, str]) -> Resource:
    return Resource(found.kind, found.name, found.arn, found.status, found.created, found.reason, found.parts, tags)
