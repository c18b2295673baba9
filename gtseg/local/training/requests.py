"""CreateTrainingJob: validation of the request, and the initial Describe response.

Hyperparameters and channel contents are checked by the container, as on AWS: a job with invalid ones is created and
fails with a FailureReason.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gtseg.local.embedded import Embedded
from gtseg.local.jobs.container_images import REGISTRIES, image_uri, is_segmentation_image
from gtseg.local.jobs.records import now
from gtseg.local.jobs.requests import invalid, pick, read_uri, refuse
from gtseg.local.training.metrics import DEFINITIONS
from gtseg.local.training.work import TrainingRecord

REFUSED = (
    "ServerlessJobConfig",
    "MlflowConfig",
    "ModelPackageConfig",
    "DebugRuleConfigurations",
    "ProfilerRuleConfigurations",
    "TensorBoardOutputConfig",
    "ExperimentConfig",
    "SessionChainingConfig",
)
KEPT = (
    "HyperParameters",
    "RoleArn",
    "VpcConfig",
    "CheckpointConfig",
    "DebugHookConfig",
    "ProfilerConfig",
    "Environment",
    "RetryStrategy",
)
CHECKPOINTS = "/opt/ml/checkpoints"
DAY = 86_400


def check_request(embedded: Embedded, request: Mapping[str, Any]) -> None:
    """Raise ValidationException for what AWS rejects immediately, and for what the embedded AWS does not support."""
    refuse(request, REFUSED)
    _check_image(embedded, request["AlgorithmSpecification"])
    _check_resources(request.get("ResourceConfig"))
    _check_channels(request.get("InputDataConfig", []), request["AlgorithmSpecification"]["TrainingInputMode"])
    read_uri(request["OutputDataConfig"]["S3OutputPath"], "OutputDataConfig.S3OutputPath")
    _check_stopping(request)
    checkpoint = request.get("CheckpointConfig")
    if checkpoint:
        read_uri(checkpoint["S3Uri"], "CheckpointConfig.S3Uri")
        if checkpoint.get("LocalPath", CHECKPOINTS).rstrip("/") != CHECKPOINTS:
            raise invalid(f"CheckpointConfig.LocalPath: the built-in algorithms write checkpoints to {CHECKPOINTS}.")


def _check_image(embedded: Embedded, specification: Mapping[str, Any]) -> None:
    """Raise ValidationException unless it is the region's semantic segmentation image with options that it accepts."""
    region = embedded.store.region
    refuse(specification, ("AlgorithmName", "ContainerEntrypoint", "ContainerArguments", "TrainingImageConfig"))
    if specification.get("MetricDefinitions"):
        raise invalid(
            "You can't override the metric definitions for Amazon SageMaker algorithms. Please retry the request"
            " without specifying metric definitions."
        )
    if not is_segmentation_image(specification.get("TrainingImage", ""), region):
        supported = (
            image_uri(region) if region in REGISTRIES else f"none in {region}, where the algorithm is not available"
        )
        raise invalid(
            f"The embedded AWS cannot run the training image {specification.get('TrainingImage')!r}."
            f" Supported: {supported}."
        )


def _check_resources(resources: Mapping[str, Any] | None) -> None:
    if not resources or "InstanceType" not in resources:
        raise invalid("ResourceConfig.InstanceType is required.")
    refuse(
        resources,
        (
            "InstanceGroups",
            "KeepAlivePeriodInSeconds",
            "TrainingPlanArn",
            "InstancePlacementConfig",
            "InstancePreferences",
        ),
    )
    if resources.get("InstanceCount", 1) != 1:
        raise invalid(
            "ResourceConfig.InstanceCount must be 1: semantic segmentation trains on a single machine,"
            f" not {resources['InstanceCount']}."
        )
    if resources.get("VolumeSizeInGB", 1) < 1:
        raise invalid("ResourceConfig.VolumeSizeInGB must be at least 1.")


def _check_stopping(request: Mapping[str, Any]) -> None:
    stopping = request.get("StoppingCondition", {})
    refuse(stopping, ("MaxPendingTimeInSeconds",))
    wait, runtime = stopping.get("MaxWaitTimeInSeconds"), stopping.get("MaxRuntimeInSeconds", DAY)
    if request.get("EnableManagedSpotTraining"):
        if wait is None or wait < runtime:
            raise invalid(
                "Invalid MaxWaitTimeInSeconds. It must be present and be greater than or equal to MaxRuntimeInSeconds"
            )
    elif wait is not None:
        raise invalid("MaxWaitTimeInSeconds is only allowed with EnableManagedSpotTraining.")


def _check_channels(channels: Sequence[Mapping[str, Any]], default_mode: str) -> None:
    names = [channel["ChannelName"] for channel in channels]
    for name in names:
        if names.count(name) > 1:
            raise invalid(f"Channel names must be unique: {name!r} is used more than once in InputDataConfig.")
    for channel in channels:
        _check_channel(channel, channel.get("InputMode", default_mode))


def _check_channel(channel: Mapping[str, Any], mode: str) -> None:
    name, source = channel["ChannelName"], channel["DataSource"].get("S3DataSource")
    if source is None:
        raise invalid(f"Channel {name!r}: the embedded AWS reads channels from DataSource.S3DataSource only.")
    refuse(source, ("InstanceGroupNames", "ModelAccessConfig", "HubAccessConfig"))
    read_uri(source["S3Uri"], f"Channel {name!r}: S3Uri")
    if channel.get("CompressionType", "None") != "None":
        raise invalid(f"Channel {name!r}: CompressionType {channel['CompressionType']} requires the Pipe input mode.")
    kind = source["S3DataType"]
    if kind == "AugmentedManifestFile":
        _check_manifest_channel(channel, source, mode)
    elif kind not in ("S3Prefix", "ManifestFile"):
        raise invalid(f"Channel {name!r}: S3DataType {kind} is not supported in a training job.")
    elif source.get("AttributeNames"):
        raise invalid(f"Channel {name!r}: AttributeNames is only allowed with S3DataType AugmentedManifestFile.")


def _check_manifest_channel(channel: Mapping[str, Any], source: Mapping[str, Any], mode: str) -> None:
    name = channel["ChannelName"]
    if mode != "Pipe":
        raise invalid(f"Channel {name!r}: S3DataType AugmentedManifestFile requires the Pipe input mode, not {mode}.")
    if not source.get("AttributeNames"):
        raise invalid(f"Channel {name!r}: S3DataType AugmentedManifestFile requires AttributeNames.")


def begin_answer(request: Mapping[str, Any], arn: str) -> dict[str, Any]:
    """Return the initial DescribeTrainingJob response."""
    moment, name = now(), request["TrainingJobName"]
    output = request["OutputDataConfig"]
    artifact = "output/model.tar.gz" if output.get("CompressionType", "GZIP") == "GZIP" else "output/model/"
    answer = {
        "TrainingJobName": name,
        "TrainingJobArn": arn,
        "ModelArtifacts": {"S3ModelArtifacts": f"{output['S3OutputPath'].rstrip('/')}/{name}/{artifact}"},
        "TrainingJobStatus": "InProgress",
        "SecondaryStatus": "",
        **pick(request, KEPT),
        "AlgorithmSpecification": {
            **request["AlgorithmSpecification"],
            "MetricDefinitions": [{"Name": key, "Regex": regex} for key, regex in DEFINITIONS.items()],
            "EnableSageMakerMetricsTimeSeries": False,
        },
        "OutputDataConfig": {"KmsKeyId": "", "CompressionType": "GZIP", **output},
        "ResourceConfig": {"InstanceCount": 1, "VolumeSizeInGB": 1, **request["ResourceConfig"]},
        "StoppingCondition": {"MaxRuntimeInSeconds": DAY, **request.get("StoppingCondition", {})},
        "CreationTime": moment,
        "LastModifiedTime": moment,
        "SecondaryStatusTransitions": [],
        **{
            flag: request.get(flag, False)
            for flag in (
                "EnableNetworkIsolation",
                "EnableInterContainerTrafficEncryption",
                "EnableManagedSpotTraining",
            )
        },
    }
    if request.get("InputDataConfig"):
        answer["InputDataConfig"] = [_describe_channel(channel) for channel in request["InputDataConfig"]]
    return answer


def _describe_channel(channel: Mapping[str, Any]) -> dict[str, Any]:
    source = {"S3DataDistributionType": "FullyReplicated", **channel["DataSource"]["S3DataSource"]}
    return {
        "CompressionType": "None",
        "RecordWrapperType": "None",
        **channel,
        "DataSource": {"S3DataSource": source},
    }


def enter(record: TrainingRecord, secondary: str, message: str, *, status: str | None = None) -> None:
    """Enter a secondary status; for the current status only the message changes."""
    moment, transitions = now(), record.answer["SecondaryStatusTransitions"]
    if transitions and transitions[-1]["Status"] == secondary:
        transitions[-1]["StatusMessage"] = message
    else:
        if transitions:
            transitions[-1]["EndTime"] = moment
        transitions.append({"Status": secondary, "StartTime": moment, "StatusMessage": message})
    record.answer["SecondaryStatus"] = secondary
    if status is not None:
        record.status = record.answer["TrainingJobStatus"] = status
        if status in ("Completed", "Failed", "Stopped"):
            transitions[-1]["EndTime"] = moment
