"""Members of requests that no handler reads: refused, or ignored for a reason. Nothing else may be ignored.

`tests/local/test_local_members.py` walks every member of every operation's input in the service model: each is read in
the code that answers, or refused there, or stands in one of these two tables. A path names members from the request's
top, `[]` an item of a list, `{}` a value of a map; a path stands for everything below it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from gtseg.local.errors import ServiceError

__all__ = ["IGNORED", "REFUSED", "find_values", "refuse_members"]

_CHANNEL = "InputDataConfig[].DataSource"
_TRAINING = (
    f"{_CHANNEL}.FileSystemDataSource",
    f"{_CHANNEL}.DatasetSource",
    "ResourceConfig.SelectedInstanceType",
    "ResourceConfig.SelectedInstanceCount",
)
_CONTAINERS = ("PrimaryContainer.ContainerHostname", "Containers[].ContainerHostname")
_SOURCES = ("PrimaryContainer.ModelDataSource.S3DataSource", "Containers[].ModelDataSource.S3DataSource")

REFUSED: dict[str, tuple[str, ...]] = {
    "CreateTrainingJob": (*_TRAINING, "RemoteDebugConfig", "InfraCheckConfig"),
    "CreateHyperParameterTuningJob": tuple(f"TrainingJobDefinition.{path}" for path in _TRAINING),
    "CreateModel": tuple(f"{source}.{member}" for source in _SOURCES for member in ("ETag", "ManifestEtag")),
    "CreateEndpointConfig": (
        "ProductionVariants[].VariantInstanceProvisionTimeoutInSeconds",
        "ProductionVariants[].EnableSSMAccess",
    ),
    "UpdateEndpoint": ("RetainDeploymentConfig",),
    "CreateWorkteam": ("MemberDefinitions[].OidcMemberDefinition",),
    "UpdateWorkteam": ("MemberDefinitions[].OidcMemberDefinition",),
    "CreateLogGroup": ("kmsKeyId", "deletionProtectionEnabled"),
    "DescribeLogGroups": (
        "accountIdentifiers",
        "logGroupNamePattern",
        "includeLinkedAccounts",
        "logGroupIdentifiers",
    ),
}

_NETWORK = "Kept and described; processes of this machine have no network of their own."
_KEY = "With --s3 the key that S3 encrypts with; a data folder lies on this machine's disk, encrypted as that is."
_VOLUME = "No volume is made: files lie in the data folder."
_RETRIES = "Kept and described; what is tried again on AWS are internal errors of its service."
_WORKTEAM = {
    "NotificationConfiguration": "Kept and described; there is no SNS here, and the portal shows new work at once.",
    "WorkerAccessConfiguration": "Kept and described; workers' pictures come from the portal, not from presigned URLs.",
}

IGNORED: dict[str, dict[str, str]] = {
    "CreateTrainingJob": {
        "InputDataConfig[].ShuffleConfig": "Kept and described; the algorithm shuffles every epoch with its own seed.",
        "ResourceConfig.VolumeKmsKeyId": _VOLUME,
        "VpcConfig": _NETWORK,
        "DebugHookConfig": "Kept and described; the built-in algorithm writes no tensors, on AWS neither.",
        "ProfilerConfig": "Kept and described; no system metrics are taken.",
        "RetryStrategy": _RETRIES,
    },
    "CreateHyperParameterTuningJob": {
        "TrainingJobDefinition.InputDataConfig[].ShuffleConfig": "As in CreateTrainingJob.",
        "TrainingJobDefinition.VpcConfig": _NETWORK,
        "TrainingJobDefinition.HyperParameterTuningResourceConfig.AllocationStrategy": "Orders several kinds of "
        "instances; more than one is refused.",
        "TrainingJobDefinition.RetryStrategy": _RETRIES,
    },
    "CreateLabelingJob": {
        "OutputConfig.KmsKeyId": _KEY,
        "LabelingJobAlgorithmsConfig.LabelingJobResourceConfig": "Kept and described; models are trained on this machine.",
    },
    "CreateModel": {
        **dict.fromkeys(_CONTAINERS, "Names a container among several; there is one."),
        "VpcConfig": _NETWORK,
    },
    "CreateEndpointConfig": {
        "ProductionVariants[].VolumeSizeInGB": _VOLUME,
        "ProductionVariants[].ModelDataDownloadTimeoutInSeconds": "Kept and described; the artifact is in the data "
        "folder already.",
        "ProductionVariants[].InferenceAmiVersion": "Kept and described; there is no machine image.",
        "VpcConfig": _NETWORK,
    },
    "CreateTransformJob": {
        "TransformResources.VolumeKmsKeyId": _VOLUME,
        "TransformResources.TransformAmiVersion": "Kept and described; there is no machine image.",
    },
    "CreateWorkteam": _WORKTEAM,
    "UpdateWorkteam": _WORKTEAM,
    "CreateLogGroup": {"tags": "Nothing here lists the tags of a log group."},
    "FilterLogEvents": {
        "interleaved": "Deprecated: events of several streams are interleaved always, on AWS too.",
        "unmask": "Nothing is masked.",
    },
    "GetLogEvents": {"unmask": "Nothing is masked."},
    "PutLogEvents": {
        "sequenceToken": "AWS accepts any since 2023.",
        "entity": "No telemetry entities are kept.",
    },
}


def refuse_members(operation: str, request: Mapping[str, Any]) -> None:
    """Raises ServiceError ValidationException for a member that would have to be ignored and asks for something."""
    for path in REFUSED.get(operation, ()):
        for value in find_values(request, path):
            if asks(value):
                raise ServiceError("ValidationException", f"{path} is not supported by the embedded AWS: leave it out.")


def find_values(value: Any, path: str) -> Iterator[Any]:
    """Every value that a request has at a path."""
    name, _, rest = path.partition(".")
    member = name.rstrip("[]")
    if not isinstance(value, Mapping) or member not in value:
        return
    found = value[member]
    for item in found if name.endswith("[]") else [found]:
        if rest:
            yield from find_values(item, rest)
        else:
            yield item


def asks(value: Any) -> bool:
    """Whether a value asks for anything: false, empty and structures of such do not."""
    if isinstance(value, Mapping):
        return any(asks(item) for item in value.values())
    return bool(value)
