"""Models and endpoint configurations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Generic, TypeVar

from gtseg.local.embedded import Embedded
from gtseg.local.errors import ServiceError
from gtseg.local.hosting.artifact import find_artifact
from gtseg.local.jobs.records import NoWork, Record, Records, Work, now
from gtseg.local.jobs.requests import invalid, pick, read_uri, refuse
from gtseg.local.jobs.tags import forget, store_new

CONTAINER_REFUSED = (
    "ImageConfig",
    "ModelPackageName",
    "InferenceSpecificationName",
    "MultiModelConfig",
    "AdditionalModelDataSources",
    "ContainerMetricsConfig",
)
VARIANT_REFUSED = (
    "ServerlessConfig",
    "AcceleratorType",
    "CoreDumpConfig",
    "InstancePools",
    "ManagedInstanceScaling",
    "RoutingConfig",
    "CapacityReservationConfig",
    "AcceleratorPartitionLayouts",
)
CONFIG_REFUSED = (
    "DataCaptureConfig",
    "AsyncInferenceConfig",
    "ExplainerConfig",
    "ShadowProductionVariants",
    "CrossRegionTrafficConfig",
    "MetricsConfig",
)


W = TypeVar("W", bound=Work)


class Hosted(Generic[W]):
    """Resources of one kind of hosting resource, and AWS's errors for missing and existing ones."""

    def __init__(self, embedded: Embedded, kind: str, noun: str, *, work: type[W]) -> None:
        self.embedded, self.noun = embedded, noun
        self.records = Records(embedded.store, kind, work)

    def add(self, record: Record[W], request: Mapping[str, Any]) -> str:
        """Store a new resource with its tags; return its ARN.

        Raises ValidationException if the name is taken, as AWS does.
        """
        taken = invalid(f'Cannot create already existing {self.noun} "{self.records.arn(record.name)}".')
        return store_new(self.records, record, tags=request.get("Tags"), taken=taken)

    def find(self, name: str) -> Record[W]:
        record = self.records.find(name)
        if record is None:
            raise self.missing(name)
        return record

    def remove(self, name: str) -> None:
        if not forget(self.records, name):
            raise self.missing(name)

    def missing(self, name: str) -> ServiceError:
        return invalid(f'Could not find {self.noun} "{self.records.arn(name)}".')


def check_model(embedded: Embedded, request: Mapping[str, Any], arn: str) -> Record[NoWork]:
    """Check a CreateModel request; return its record.

    Any image is accepted, as on AWS; an endpoint with a foreign one fails.
    """
    if not request.get("ExecutionRoleArn"):
        raise invalid("ExecutionRoleArn, the role of the container, is required.")
    container = _choose_container(request)
    refuse(container, CONTAINER_REFUSED)
    if container.get("Mode", "SingleModel") != "SingleModel":
        raise invalid(f"Container mode {container['Mode']} is not supported by the embedded AWS.")
    if not container.get("Image"):
        raise invalid("PrimaryContainer.Image is required.")
    uri = model_source(container)
    if uri is None:
        raise invalid("PrimaryContainer.ModelDataUrl is required: the embedded AWS serves model artifacts from S3.")
    read_uri(uri, "ModelDataUrl")
    if not find_artifact(embedded.objects, uri):
        raise invalid(f"Could not find model data at {uri}.")
    moment = now()
    answer = {
        "ModelName": request["ModelName"],
        "PrimaryContainer": {"Mode": "SingleModel", **container},
        **pick(request, ("ExecutionRoleArn", "VpcConfig")),
        "CreationTime": moment,
        "ModelArn": arn,
        "EnableNetworkIsolation": request.get("EnableNetworkIsolation", False),
    }
    return Record(request["ModelName"], "", answer, NoWork())


def _choose_container(request: Mapping[str, Any]) -> dict[str, Any]:
    """Return the primary container, or the only one of `Containers`."""
    refuse(request, ("InferenceExecutionConfig",))
    containers: Sequence[dict[str, Any]] = request.get("Containers", [])
    if request.get("PrimaryContainer") and not containers:
        primary: dict[str, Any] = request["PrimaryContainer"]
        return primary
    if len(containers) == 1 and not request.get("PrimaryContainer"):
        return containers[0]
    raise invalid("Specify exactly one container; the embedded AWS does not support inference pipelines.")


def model_source(container: Mapping[str, Any]) -> str | None:
    """Return the S3 URI of a container's model data: an archive, or a prefix ending with / for uncompressed files."""
    if container.get("ModelDataUrl"):
        return str(container["ModelDataUrl"])
    source = container.get("ModelDataSource", {}).get("S3DataSource")
    if not source:
        return None
    refuse(source, ("ModelAccessConfig", "HubAccessConfig", "ManifestS3Uri"))
    loose = source["S3DataType"] == "S3Prefix"
    if loose != (source["CompressionType"] == "None"):
        raise invalid("ModelDataSource takes S3Prefix with CompressionType None, or S3Object with Gzip.")
    return source["S3Uri"].rstrip("/") + "/" if loose else str(source["S3Uri"])


def check_config(models: Hosted[NoWork], request: Mapping[str, Any], arn: str) -> Record[NoWork]:
    """Check a CreateEndpointConfig request; return its record. Its models must exist; each variant has one instance."""
    refuse(request, CONFIG_REFUSED)
    names = [variant["VariantName"] for variant in request["ProductionVariants"]]
    if len(set(names)) < len(names):
        raise invalid("The names of production variants must be unique.")
    variants = [_check_variant(models, variant) for variant in request["ProductionVariants"]]
    answer = {
        "EndpointConfigName": request["EndpointConfigName"],
        "EndpointConfigArn": arn,
        "ProductionVariants": variants,
        **pick(request, ("KmsKeyId", "ExecutionRoleArn", "VpcConfig")),
        "CreationTime": now(),
        "EnableNetworkIsolation": request.get("EnableNetworkIsolation", False),
    }
    return Record(request["EndpointConfigName"], "", answer, NoWork())


def _check_variant(models: Hosted[NoWork], variant: Mapping[str, Any]) -> dict[str, Any]:
    refuse(variant, VARIANT_REFUSED)
    for member in ("ModelName", "InstanceType"):
        if not variant.get(member):
            raise invalid(f"ProductionVariants: variant {variant['VariantName']!r} requires {member}.")
    models.find(variant["ModelName"])
    count = variant.get("InitialInstanceCount", 1)
    if count != 1:
        raise limit_exceeded(variant["InstanceType"], count)
    return {"InitialInstanceCount": 1, "InitialVariantWeight": 1.0, **variant}


def limit_exceeded(instance_type: str, count: int) -> ServiceError:
    """Return AWS's error for more instances than the account's limit, which is 1 here."""
    return ServiceError(
        "ResourceLimitExceeded",
        f"The account-level service limit '{instance_type} for endpoint usage' is 1 Instances, with current"
        f" utilization of 0 Instances and a request delta of {count} Instances. The embedded AWS runs one process for"
        " each variant.",
    )
