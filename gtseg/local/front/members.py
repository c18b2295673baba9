"""Members of requests that no handler reads: rejected, or ignored for a stated reason.

`tests/local/test_local_members.py` checks every member of every operation's input in the service model: it is read by
the handler, or listed in one of these two tables. A path names members from the top of the request; `[]` is an item of
a list, `{}` a value of a map. A path covers everything below it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from gtseg.local.errors import ServiceError

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

_NETWORK = "Kept and described; local processes have no network of their own."
_KEY = "With --s3 the key with which S3 encrypts; the data folder is on this machine's disk and encrypted like it."
_VOLUME = "No volume is created: files are in the data folder."
_RETRIES = "Kept and described; AWS retries internal errors of its own service."
_WORKTEAM = {
    "NotificationConfiguration": "Kept and described; there is no SNS; the portal shows new work immediately.",
    "WorkerAccessConfiguration": "Kept and described; workers get images from the portal, not from presigned URLs.",
}

IGNORED: dict[str, dict[str, str]] = {
    "CreateTrainingJob": {
        "InputDataConfig[].ShuffleConfig": "Kept and described; the algorithm shuffles every epoch with its own seed.",
        "ResourceConfig.VolumeKmsKeyId": _VOLUME,
        "VpcConfig": _NETWORK,
        "DebugHookConfig": "Kept and described; the built-in algorithm writes no tensors on AWS either.",
        "ProfilerConfig": "Kept and described; no system metrics are collected.",
        "RetryStrategy": _RETRIES,
    },
    "CreateHyperParameterTuningJob": {
        "TrainingJobDefinition.InputDataConfig[].ShuffleConfig": "As in CreateTrainingJob.",
        "TrainingJobDefinition.VpcConfig": _NETWORK,
        "TrainingJobDefinition.HyperParameterTuningResourceConfig.AllocationStrategy": "Ranks instance "
        "types; more than one is rejected.",
        "TrainingJobDefinition.RetryStrategy": _RETRIES,
    },
    "CreateLabelingJob": {
        "OutputConfig.KmsKeyId": _KEY,
        "LabelingJobAlgorithmsConfig.LabelingJobResourceConfig": "Kept and described; models are trained "
        "on this machine.",
    },
    "CreateModel": {
        **dict.fromkeys(_CONTAINERS, "Names one of several containers; there is only one."),
        "VpcConfig": _NETWORK,
    },
    "CreateEndpointConfig": {
        "ProductionVariants[].VolumeSizeInGB": _VOLUME,
        "ProductionVariants[].ModelDataDownloadTimeoutInSeconds": "Kept and described; the artifact is already "
        "in the data folder.",
        "ProductionVariants[].InferenceAmiVersion": "Kept and described; there is no machine image.",
        "VpcConfig": _NETWORK,
    },
    "CreateTransformJob": {
        "TransformResources.VolumeKmsKeyId": _VOLUME,
        "TransformResources.TransformAmiVersion": "Kept and described; there is no machine image.",
    },
    "CreateWorkteam": _WORKTEAM,
    "UpdateWorkteam": _WORKTEAM,
    "CreateLogGroup": {"tags": "No operation lists the tags of a log group."},
    "FilterLogEvents": {
        "interleaved": "Deprecated: events of several streams are always interleaved, on AWS too.",
        "unmask": "Nothing is masked.",
    },
    "GetLogEvents": {"unmask": "Nothing is masked."},
    "PutLogEvents": {
        "sequenceToken": "AWS accepts any since 2023.",
        "entity": "Telemetry entities are not stored.",
    },
}


def refuse_members(operation: str, request: Mapping[str, Any]) -> None:
    """Raise ServiceError ValidationException if a request sets a member in REFUSED to an effective value."""
    for path in REFUSED.get(operation, ()):
        for value in find_values(request, path):
            if has_effect(value):
                raise ServiceError(
                    "ValidationException", f"{path} is not supported by the embedded AWS. Remove it from the request."
                )


def find_values(value: Any, path: str) -> Iterator[Any]:
    """Yield every value that a request has at a path."""
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


def has_effect(value: Any) -> bool:
    """Return whether a value has an effect: false, empty values and structures of such have none."""
    if isinstance(value, Mapping):
        return any(has_effect(item) for item in value.values())
    return bool(value)
