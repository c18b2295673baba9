"""Requests of CreateModel, CreateEndpointConfig and CreateEndpoint, built from plain values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

VARIANT = "AllTraffic"
MAX_BODY = 6_291_456
"""Maximum bytes of an InvokeEndpoint request or response (API, BodyBlob)."""


@dataclass(frozen=True)
class Hosting:
    """Parameters of an endpoint."""

    role_arn: str
    image_uri: str
    model_data: str
    """s3:// URI of a model.tar.gz."""
    environment: Mapping[str, str] = field(default_factory=dict)
    instance_type: str = "ml.c5.xlarge"
    instance_count: int = 1
    kms_key: str | None = None
    subnets: tuple[str, ...] = ()
    security_groups: tuple[str, ...] = ()
    network_isolation: bool = False
    tags: Mapping[str, str] = field(default_factory=dict)


def model_request(name: str, hosting: Hosting) -> dict[str, Any]:
    """Return the request of CreateModel."""
    container: dict[str, Any] = {"Image": hosting.image_uri, "ModelDataUrl": hosting.model_data}
    if hosting.environment:
        container["Environment"] = dict(sorted(hosting.environment.items()))
    request: dict[str, Any] = {
        "ModelName": name,
        "PrimaryContainer": container,
        "ExecutionRoleArn": hosting.role_arn,
    }
    if hosting.subnets:
        request["VpcConfig"] = {
            "SecurityGroupIds": list(hosting.security_groups),
            "Subnets": list(hosting.subnets),
        }
    if hosting.network_isolation:
        request["EnableNetworkIsolation"] = True
    return request | _tags(hosting.tags)


def endpoint_config_request(name: str, model: str, hosting: Hosting) -> dict[str, Any]:
    """Return the request of CreateEndpointConfig: one variant that takes all traffic."""
    variant = {
        "VariantName": VARIANT,
        "ModelName": model,
        "InitialInstanceCount": hosting.instance_count,
        "InstanceType": hosting.instance_type,
        "InitialVariantWeight": 1.0,
    }
    request: dict[str, Any] = {"EndpointConfigName": name, "ProductionVariants": [variant]}
    if hosting.kms_key:
        request["KmsKeyId"] = hosting.kms_key
    return request | _tags(hosting.tags)


def endpoint_request(name: str, config: str, hosting: Hosting) -> dict[str, Any]:
    """Return the request of CreateEndpoint."""
    return {"EndpointName": name, "EndpointConfigName": config} | _tags(hosting.tags)


def _tags(tags: Mapping[str, str]) -> dict[str, Any]:
    return {"Tags": [{"Key": key, "Value": value} for key, value in sorted(tags.items())]} if tags else {}
