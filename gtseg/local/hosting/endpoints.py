"""Endpoints and the containers that currently serve them."""

from __future__ import annotations

import weakref
from collections.abc import Mapping
from typing import Any

from gtseg.local.embedded import Embedded
from gtseg.local.hosting.container import Container
from gtseg.local.hosting.models import Hosted, limit_exceeded, model_source
from gtseg.local.hosting.work import Deployment, EndpointRecord, EndpointWork, Variant
from gtseg.local.jobs.records import NoWork, now
from gtseg.local.jobs.requests import invalid, refuse
from gtseg.local.storage.store import Store

LOG_GROUP = "/aws/sagemaker/Endpoints"
SERVING = ("InService", "Updating", "SystemUpdating", "RollingBack")
UPDATE_REFUSED = ("DeploymentConfig", "ExcludeRetainedVariantProperties", "RetainAllVariantProperties")


class Endpoints:
    """Endpoints of one server, shared by the operations, the supervisor and the invocations (`Endpoints.of`)."""

    _by_store: weakref.WeakKeyDictionary[Store, Endpoints] = weakref.WeakKeyDictionary()

    def __init__(self, embedded: Embedded) -> None:
        self.embedded = embedded
        self.models = Hosted(embedded, "model", "model", work=NoWork)
        self.configs = Hosted(embedded, "endpoint-config", "endpoint configuration", work=NoWork)
        self.hosted = Hosted(embedded, "endpoint", "endpoint", work=EndpointWork)
        self.records = self.hosted.records
        self.containers: dict[tuple[str, str], Container] = {}
        """(endpoint, variant) -> container that is ready."""

    @classmethod
    def of(cls, embedded: Embedded) -> Endpoints:
        found = cls._by_store.get(embedded.store)
        if found is None:
            found = cls._by_store[embedded.store] = cls(embedded)
        return found

    def create(self, request: Mapping[str, Any]) -> str:
        """Carry out CreateEndpoint: record it as Creating; the supervisor starts its containers."""
        refuse(request, ("DeploymentConfig",))
        name = request["EndpointName"]
        target = self.resolve(request["EndpointConfigName"])
        moment = now()
        answer = {
            "EndpointName": name,
            "EndpointArn": self.records.arn(name),
            "EndpointConfigName": request["EndpointConfigName"],
            "EndpointStatus": "Creating",
            "CreationTime": moment,
            "LastModifiedTime": moment,
        }
        work = EndpointWork(target=target, generation=1)
        return self.hosted.add(EndpointRecord(name, "Creating", answer, work), request)

    def update(self, request: Mapping[str, Any]) -> str:
        """Carry out UpdateEndpoint: a second set of containers takes over when it is ready."""
        refuse(request, UPDATE_REFUSED)
        name = request["EndpointName"]
        self._check_updatable(name)
        target = self.resolve(request["EndpointConfigName"])
        with self.records.change(name) as record:
            if record is None:
                raise self.hosted.missing(name)
            if record.answer["EndpointConfigName"] == target.config:
                raise invalid(
                    f'Cannot update endpoint "{record.answer["EndpointArn"]}": it already has the endpoint'
                    f" configuration {target.config}."
                )
            record.work.target = target
            record.work.generation += 1
            record.answer.pop("FailureReason", None)
            move(record, "Updating")
        return self.records.arn(name)

    def update_weights(self, request: Mapping[str, Any]) -> str:
        """Carry out UpdateEndpointWeightsAndCapacities: weights apply at once; more than one instance is rejected."""
        name = request["EndpointName"]
        self._check_updatable(name)
        with self.records.change(name) as record:
            if record is None:
                raise self.hosted.missing(name)
            variants = {item["VariantName"]: item for item in record.answer["ProductionVariants"]}
            for wish in request["DesiredWeightsAndCapacities"]:
                _change_variant(variants, wish)
        return self.records.arn(name)

    def delete(self, name: str) -> None:
        """Carry out DeleteEndpoint: the supervisor stops the containers and removes the record.

        AWS rejects it while the endpoint is Creating or Updating (amazon-sagemaker-examples issue 3432).
        """
        with self.records.change(name) as record:
            if record is None:
                raise self.hosted.missing(name)
            if record.status not in ("InService", "Failed"):
                raise invalid(f'Cannot update in-progress endpoint "{record.answer["EndpointArn"]}".')
            move(record, "Deleting")

    def _check_updatable(self, name: str) -> None:
        record = self.hosted.find(name)
        if record.status != "InService":
            raise invalid(
                f'Cannot update in-progress endpoint "{record.answer["EndpointArn"]}".'
                if record.status != "Failed"
                else f'Cannot update endpoint "{record.answer["EndpointArn"]}" with status Failed.'
            )

    def resolve(self, config_name: str) -> Deployment:
        """Return everything that a deployment needs, so that it survives deletion of its configuration and models."""
        config = self.configs.find(config_name)
        variants = []
        for variant in config.answer["ProductionVariants"]:
            container = self.models.find(variant["ModelName"]).answer["PrimaryContainer"]
            variants.append(
                Variant(
                    name=variant["VariantName"],
                    weight=variant["InitialVariantWeight"],
                    image=container["Image"],
                    data=model_source(container),
                    environment=container.get("Environment", {}),
                    patience=variant.get("ContainerStartupHealthCheckTimeoutInSeconds", 600),
                )
            )
        return Deployment(config_name, variants)


def move(record: EndpointRecord, status: str) -> None:
    """Set an endpoint's status."""
    record.status = record.answer["EndpointStatus"] = status


def _change_variant(variants: dict[str, dict[str, Any]], wish: Mapping[str, Any]) -> None:
    refuse(wish, ("ServerlessUpdateConfig",))
    variant = variants.get(wish["VariantName"])
    if variant is None:
        raise invalid(f"The variant name {wish['VariantName']} does not exist in this endpoint.")
    if wish.get("DesiredInstanceCount", 1) != 1:
        raise limit_exceeded("this machine", wish["DesiredInstanceCount"])
    if "DesiredWeight" in wish:
        variant["DesiredWeight"] = variant["CurrentWeight"] = wish["DesiredWeight"]
