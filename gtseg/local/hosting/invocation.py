"""InvokeEndpoint: forwards requests to a container and returns AWS's errors."""

from __future__ import annotations

import json
import random
import time
from typing import Any

from gtseg.local.embedded import Embedded
from gtseg.local.errors import ServiceError
from gtseg.local.hosting.container import Container, ContainerTimeout, ContainerUnreachable, Response
from gtseg.local.hosting.endpoints import LOG_GROUP, SERVING, Endpoints
from gtseg.local.hosting.work import EndpointRecord

BODY_BYTES = 6_291_456
TIMEOUT_SECONDS = 60.0
ATTRIBUTES = "x-amzn-sagemaker-custom-attributes"
REFUSED = (
    "x-amzn-sagemaker-target-model",
    "x-amzn-sagemaker-target-container-hostname",
    "x-amzn-sagemaker-inference-component",
    "x-amzn-sagemaker-session-id",
    "x-amzn-sagemaker-enable-explanations",
)
IGNORED = {
    "x-amzn-sagemaker-inference-id": "Identifies a response in captured data; data capture is rejected.",
    "x-amzn-sagemaker-prefix-aware-id": "Routes requests with one prefix to one instance; a variant has one.",
}
Reply = tuple[int, dict[str, str], bytes]
TIMED_OUT = (
    "Your invocation timed out while waiting for a response from container primary. Review the latency metrics for"
    " each container in Amazon CloudWatch, resolve the issue, and try again."
)


def invoke(embedded: Embedded, name: str, headers: dict[str, str], body: bytes) -> Reply:
    """Respond to POST /endpoints/NAME/invocations; header names of the request are lower case.

    Raises ServiceError ValidationError; errors of the container are returned as ModelError (424).
    """
    deadline = time.monotonic() + TIMEOUT_SECONDS
    endpoints = Endpoints.of(embedded)
    record = _find_serving(endpoints, name)
    check_request(headers, body)
    variant = _choose_variant(record, headers.get("x-amzn-sagemaker-target-variant"))
    container = _await_container(endpoints, record, variant, deadline)
    forwarded = {key: headers[key] for key in ("content-type", "accept", ATTRIBUTES) if headers.get(key)}
    try:
        response = container.request(
            "POST", "/invocations", forwarded, body=body, timeout=max(0.1, deadline - time.monotonic())
        )
    except ContainerTimeout:
        return _model_error(endpoints, name, 0, TIMED_OUT)
    except ContainerUnreachable:
        message = "Unable to get response from algorithm: the container closed the connection."
        return _model_error(endpoints, name, 500, message)
    if response.status >= 400:
        return _model_error(endpoints, name, response.status, response.body.decode(errors="replace"))
    return 200, _render_headers(response, variant), response.body


def _find_serving(endpoints: Endpoints, name: str) -> EndpointRecord:
    record = endpoints.records.find(name)
    if record is None or record.status not in SERVING:
        account = endpoints.embedded.store.account
        state = "not found" if record is None else f"is not in service: its status is {record.status}"
        raise ServiceError("ValidationError", f"Endpoint {name} of account {account} {state}.")
    return record


def check_request(headers: dict[str, str], body: bytes) -> None:
    if len(body) > BODY_BYTES:
        raise ServiceError(
            "ValidationError",
            f"1 validation error detected: Value at 'body' failed to satisfy constraint: Member must have length less"
            f" than or equal to {BODY_BYTES}; it has {len(body)} bytes.",
        )
    for header in REFUSED:
        if headers.get(header):
            raise ServiceError("ValidationError", f"{header} is not supported by the embedded AWS.")


def _choose_variant(record: EndpointRecord, target: str | None) -> str:
    """Return the variant that the request names, or one drawn by weight."""
    weights: dict[str, float] = {
        item["VariantName"]: item["CurrentWeight"] for item in record.answer["ProductionVariants"]
    }
    if target is not None:
        if target not in weights:
            raise ServiceError("ValidationError", f"Variant {target} not found for endpoint {record.name}.")
        return target
    if len(weights) == 1:
        return next(iter(weights))
    total = sum(weights.values())
    return random.choices(list(weights), [weight if total else 1.0 for weight in weights.values()])[0]


def _await_container(endpoints: Endpoints, record: EndpointRecord, variant: str, deadline: float) -> Container:
    """Return the variant's container; wait for it after a restart of the server or a crash of the container."""
    while True:
        container = endpoints.containers.get((record.name, variant))
        if container is not None:
            return container
        if time.monotonic() > deadline - 1.0 or endpoints.records.find(record.name) is None:
            raise ServiceError(
                "ServiceUnavailable", f"Endpoint {record.name} has no container that is ready. Try again later.", 503
            )
        time.sleep(0.05)


def _render_headers(response: Response, variant: str) -> dict[str, str]:
    headers = {
        "content-type": response.headers.get("content-type", "application/octet-stream"),
        "x-amzn-invoked-production-variant": variant,
    }
    if ATTRIBUTES in response.headers:
        headers[ATTRIBUTES] = response.headers[ATTRIBUTES]
    return headers


def _model_error(endpoints: Endpoints, name: str, status: int, message: str) -> Reply:
    """Return AWS's ModelError with the container's message and the location of its log."""
    store = endpoints.embedded.store
    group = f"{LOG_GROUP}/{name}"
    side = "client" if 400 <= status < 500 else "server"
    text = (
        f'Received {side} error ({status}) from primary with message "{message[:1024]}". See'
        f" https://{store.region}.console.aws.amazon.com/cloudwatch/home?region={store.region}"
        f"#logEventViewer:group={group} in account {store.account} for more information."
    )
    document: dict[str, Any] = {
        "Message": text,
        "OriginalStatusCode": status,
        "OriginalMessage": message[:1024],
        "LogStreamArn": f"arn:aws:logs:{store.region}:{store.account}:log-group:{group}",
    }
    headers = {"content-type": "application/json", "x-amzn-errortype": "ModelError"}
    return 424, headers, json.dumps(document).encode()
