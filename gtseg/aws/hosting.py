"""Models, endpoint configs, endpoints, and asking an endpoint. Plain values in, plain values out."""

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
"""An endpoint that does not answer yet, or not yet with what it is to serve."""
SETTLED = frozenset({"InService", "Failed", "OutOfService", "UpdateRollbackFailed"})
_CALLS: dict[Kind, tuple[str, str]] = {
    "endpoint": ("endpoint", "EndpointName"),
    "endpoint-config": ("endpoint_config", "EndpointConfigName"),
    "model": ("model", "ModelName"),
}
_WORDS: dict[Kind, str] = {"endpoint": "Endpoint", "endpoint-config": "EndpointConfig", "model": "Model"}
MODEL_PAUSES = (0.5, 2.0)
"""Seconds before a picture that the model could not answer is sent again: out of memory passes when others are done."""
BUSY = frozenset({"ModelNotReadyException", "ServiceUnavailable", "ServiceUnavailableException", "ThrottlingException"})
"""What an endpoint answers while it cannot keep up; worth asking again."""


@dataclass(frozen=True)
class Resource:
    """A model, endpoint config or endpoint. `status` is an endpoint's; the others simply are ('Exists')."""

    kind: Kind
    name: str
    arn: str
    status: str = "Exists"
    created: datetime | None = None
    reason: str = ""
    parts: tuple[str, ...] = ()
    """What it is made of: an endpoint's config, a config's models."""
    tags: Mapping[str, str] = field(default_factory=dict)


class Hosting(Calls):
    """Hosting of one account and region. Throttling and AWS's own faults are waited out; the rest is AWSError."""

    def create(self, kind: Kind, request: Mapping[str, Any]) -> str:
        """The new resource's ARN. AWSError ResourceInUse if the name is taken (SageMaker's own word: 'already existing')."""
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
        """The resource, its tags not read; None if there is none."""
        try:
            return self.describe(kind, name)
        except AWSError as error:
            if is_missing(error):
                return None
            raise

    def find(self, kind: Kind, name: str) -> Resource | None:
        """The resource with its tags, None if there is none."""
        found = self.look(kind, name)
        return _tagged(found, self.tags(found.arn)) if found else None

    def delete(self, kind: Kind, name: str) -> bool:
        """False if it was gone already."""
        call, key = _CALLS[kind]
        try:
            self._call(f"Delete{_WORDS[kind]} {name}", f"delete_{call}", dict, **{key: name})
        except AWSError as error:
            if is_missing(error):
                return False
            raise
        return True

    def list_all(self, kind: Kind, *, contains: str) -> Iterator[Resource]:
        """Newest first, tags not read."""
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
        """One answer. Asked again for `seconds` while the endpoint is busy or AWS stumbles, and a little after a model's error."""
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
