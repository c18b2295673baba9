"""Hosting operations: models, endpoint configurations, endpoints."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

from gtseg.local.embedded import Component, Embedded
from gtseg.local.front.protocol import JsonService
from gtseg.local.hosting.endpoints import Endpoints
from gtseg.local.hosting.models import Hosted, check_config, check_model
from gtseg.local.hosting.supervisor import Supervisor
from gtseg.local.jobs.records import NoWork, Work

W = TypeVar("W", bound=Work)


def register(service: JsonService, embedded: Embedded) -> Component:
    """Register the hosting operations; return the component that keeps the endpoints' containers running."""
    endpoints = Endpoints.of(embedded)
    _register_models(service, embedded, endpoints.models)
    _register_configs(service, endpoints)
    _register_endpoints(service, endpoints)
    return Supervisor(endpoints)


def _register_models(service: JsonService, embedded: Embedded, models: Hosted[NoWork]) -> None:
    @service.operation("CreateModel")
    def create(request: dict[str, Any]) -> dict[str, Any]:
        arn = models.records.arn(request["ModelName"])
        return {"ModelArn": models.add(check_model(embedded, request, arn), request)}

    @service.operation("DescribeModel")
    def describe(request: dict[str, Any]) -> dict[str, Any]:
        return models.find(request["ModelName"]).answer

    @service.operation("DeleteModel")
    def delete(request: dict[str, Any]) -> None:
        models.remove(request["ModelName"])

    @service.operation("ListModels")
    def list_models(request: dict[str, Any]) -> dict[str, Any]:
        return summarize(models, request, "Models", ("ModelName", "ModelArn", "CreationTime"))


def _register_configs(service: JsonService, endpoints: Endpoints) -> None:
    configs = endpoints.configs

    @service.operation("CreateEndpointConfig")
    def create(request: dict[str, Any]) -> dict[str, Any]:
        arn = configs.records.arn(request["EndpointConfigName"])
        return {"EndpointConfigArn": configs.add(check_config(endpoints.models, request, arn), request)}

    @service.operation("DescribeEndpointConfig")
    def describe(request: dict[str, Any]) -> dict[str, Any]:
        return configs.find(request["EndpointConfigName"]).answer

    @service.operation("DeleteEndpointConfig")
    def delete(request: dict[str, Any]) -> None:
        configs.remove(request["EndpointConfigName"])

    @service.operation("ListEndpointConfigs")
    def list_configs(request: dict[str, Any]) -> dict[str, Any]:
        members = ("EndpointConfigName", "EndpointConfigArn", "CreationTime")
        return summarize(configs, request, "EndpointConfigs", members)


def _register_endpoints(service: JsonService, endpoints: Endpoints) -> None:
    @service.operation("CreateEndpoint")
    def create(request: dict[str, Any]) -> dict[str, Any]:
        return {"EndpointArn": endpoints.create(request)}

    @service.operation("DescribeEndpoint")
    def describe(request: dict[str, Any]) -> dict[str, Any]:
        return endpoints.hosted.find(request["EndpointName"]).answer

    @service.operation("UpdateEndpoint")
    def update(request: dict[str, Any]) -> dict[str, Any]:
        return {"EndpointArn": endpoints.update(request)}

    @service.operation("UpdateEndpointWeightsAndCapacities")
    def update_weights(request: dict[str, Any]) -> dict[str, Any]:
        return {"EndpointArn": endpoints.update_weights(request)}

    @service.operation("DeleteEndpoint")
    def delete(request: dict[str, Any]) -> None:
        endpoints.delete(request["EndpointName"])

    @service.operation("ListEndpoints")
    def list_endpoints(request: dict[str, Any]) -> dict[str, Any]:
        members = ("EndpointName", "EndpointArn", "CreationTime", "LastModifiedTime", "EndpointStatus")
        return summarize(endpoints.hosted, request, "Endpoints", members)


def summarize(hosted: Hosted[W], request: dict[str, Any], key: str, members: Sequence[str]) -> dict[str, Any]:
    """Return a page of a List response, newest first by default."""
    page, token = hosted.records.page(request, descending=True)
    return {
        key: [{member: record.answer[member] for member in members} for record in page],
        "NextToken": token,
    }
