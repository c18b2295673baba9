"""Requests of CreateTrainingJob and CreateHyperParameterTuningJob for the built-in algorithm, from plain values.

Channels, content types and the augmented manifest mode: SageMaker developer guide, "Semantic Segmentation Algorithm";
limits: the API's shapes (botocore's service model).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

CHANNEL_TYPES = {
    "train": "image/jpeg",
    "train_annotation": "image/png",
    "validation": "image/jpeg",
    "validation_annotation": "image/png",
    "label_map": "application/json",
}
INCREMENTAL_MUST_AGREE = ("backbone", "algorithm", "crop_size", "num_classes")
"""Hyperparameters that must equal the earlier model's. Source: developer guide, incremental training."""
DEFAULTS = {"backbone": "resnet-50", "algorithm": "fcn", "crop_size": "240"}


@dataclass(frozen=True)
class Manifests:
    """Augmented manifest mode: one manifest per channel, and the attribute that holds the masks."""

    train: str
    validation: str
    label_attribute: str


@dataclass(frozen=True)
class TrainingJob:
    """Parameters of a training job. Durations in seconds, sizes in GB, s3:// URIs."""

    role_arn: str
    image_uri: str
    hyperparameters: Mapping[str, str]
    output: str
    channels: str = ""
    """URI of the folder of the channels, ending in a slash."""
    manifests: Manifests | None = None
    label_map: bool = False
    initial_model: str | None = None
    instance_type: str = "ml.g4dn.xlarge"
    volume_gb: int = 50
    max_runtime: int = 86400
    spot: bool = False
    max_wait: int | None = None
    checkpoints: str | None = None
    kms_key: str | None = None
    volume_kms_key: str | None = None
    subnets: tuple[str, ...] = ()
    security_groups: tuple[str, ...] = ()
    network_isolation: bool = False
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Tuning:
    """Search settings of a tuning job. `ranges` as in `parameter_ranges`."""

    objective: str = "validation:mIOU"
    strategy: str = "Bayesian"
    max_jobs: int = 10
    max_parallel_jobs: int = 1
    early_stopping: bool = True
    seed: int | None = None
    ranges: Mapping[str, tuple[str, ...] | tuple[float, float]] = field(default_factory=dict)


def training_request(name: str, job: TrainingJob) -> dict[str, Any]:
    """Return the request of CreateTrainingJob."""
    return {
        "TrainingJobName": name,
        "HyperParameters": dict(sorted(job.hyperparameters.items())),
        **_definition(job),
        **_tags(job.tags),
    }


def tuning_request(name: str, job: TrainingJob, tuning: Tuning) -> dict[str, Any]:
    """Return the request of CreateHyperParameterTuningJob: `job`, with tuned hyperparameters removed from the fixed
    ones.
    """
    fixed = {key: value for key, value in sorted(job.hyperparameters.items()) if key not in tuning.ranges}
    config: dict[str, Any] = {
        "Strategy": tuning.strategy,
        "HyperParameterTuningJobObjective": {"Type": "Maximize", "MetricName": tuning.objective},
        "ResourceLimits": {
            "MaxNumberOfTrainingJobs": tuning.max_jobs,
            "MaxParallelTrainingJobs": tuning.max_parallel_jobs,
        },
        "ParameterRanges": parameter_ranges(tuning.ranges),
        "TrainingJobEarlyStoppingType": "Auto" if tuning.early_stopping else "Off",
    }
    if tuning.seed is not None:
        config["RandomSeed"] = tuning.seed
    return {
        "HyperParameterTuningJobName": name,
        "HyperParameterTuningJobConfig": config,
        "TrainingJobDefinition": {"StaticHyperParameters": fixed, **_definition(job)},
        **_tags(job.tags),
    }


def parameter_ranges(ranges: Mapping[str, tuple[Any, ...]]) -> dict[str, list[dict[str, Any]]]:
    """Return AWS's three lists of ranges: text values are categorical, whole numbers integer, others continuous."""
    integers: list[dict[str, Any]] = []
    reals: list[dict[str, Any]] = []
    choices: list[dict[str, Any]] = []
    for name, values in sorted(ranges.items()):
        if all(isinstance(value, str) for value in values):
            choices.append({"Name": name, "Values": list(values)})
            continue
        span = {"Name": name, "MinValue": _text(values[0]), "MaxValue": _text(values[1])}
        if all(isinstance(value, int) for value in values):
            integers.append(span | {"ScalingType": "Auto"})
        else:
            reals.append(span | {"ScalingType": "Logarithmic" if values[0] * 10 <= values[1] else "Linear"})
    lists = {
        "IntegerParameterRanges": integers,
        "ContinuousParameterRanges": reals,
        "CategoricalParameterRanges": choices,
    }
    return {key: value for key, value in lists.items() if value}


def hyperparameter_strings(values: Mapping[str, Any]) -> dict[str, str]:
    """Return values as the API's strings: True -> 'True', (10, 20) -> '10,20'.

    None is omitted: AWS's default applies.
    """
    return {name: _text(value) for name, value in values.items() if value is not None}


def disagreements(ours: Mapping[str, str], earlier: Mapping[str, str]) -> list[str]:
    """Return why training cannot continue from an earlier model: hyperparameters that must be equal and differ."""
    found = []
    for name in INCREMENTAL_MUST_AGREE:
        mine, its = ours.get(name, DEFAULTS.get(name)), earlier.get(name, DEFAULTS.get(name))
        if mine != its:
            found.append(f"{name} is {mine}, the earlier model has {its}")
    return found


def _text(value: Any) -> str:
    if isinstance(value, tuple | list):
        return ",".join(map(_text, value))
    return f"{value:.12g}" if isinstance(value, float) else str(value)


def _definition(job: TrainingJob) -> dict[str, Any]:
    """Return the members shared by a training job and a tuning job's training job definition."""
    request: dict[str, Any] = {
        "AlgorithmSpecification": {
            "TrainingImage": job.image_uri,
            "TrainingInputMode": "Pipe" if job.manifests else "File",
        },
        "RoleArn": job.role_arn,
        "InputDataConfig": _channels(job),
        "OutputDataConfig": {"S3OutputPath": job.output} | _given(KmsKeyId=job.kms_key),
        "ResourceConfig": {
            "InstanceType": job.instance_type,
            "InstanceCount": 1,
            "VolumeSizeInGB": job.volume_gb,
            **_given(VolumeKmsKeyId=job.volume_kms_key),
        },
        "StoppingCondition": {"MaxRuntimeInSeconds": job.max_runtime},
    }
    if job.spot:
        request["EnableManagedSpotTraining"] = True
        request["StoppingCondition"]["MaxWaitTimeInSeconds"] = job.max_wait or 2 * job.max_runtime
    if job.checkpoints:
        request["CheckpointConfig"] = {"S3Uri": job.checkpoints}
    if job.subnets:
        request["VpcConfig"] = {"SecurityGroupIds": list(job.security_groups), "Subnets": list(job.subnets)}
    if job.network_isolation:
        request["EnableNetworkIsolation"] = True
    return request


def _channels(job: TrainingJob) -> list[dict[str, Any]]:
    if job.manifests:
        channels = [_manifest_channel(name, job.manifests) for name in ("train", "validation")]
    else:
        names = [name for name in CHANNEL_TYPES if name != "label_map" or job.label_map]
        # The closing slash matters: without it S3Prefix also matches train_annotation/ and downloads it twice.
        channels = [_channel(name, f"{job.channels}{name}/", CHANNEL_TYPES[name]) for name in names]
    if job.initial_model:
        channels.append(_channel("model", job.initial_model, "application/x-sagemaker-model") | {"InputMode": "File"})
    return channels


def _channel(name: str, uri: str, content_type: str) -> dict[str, Any]:
    source = {"S3DataType": "S3Prefix", "S3Uri": uri, "S3DataDistributionType": "FullyReplicated"}
    return {
        "ChannelName": name,
        "DataSource": {"S3DataSource": source},
        "ContentType": content_type,
        "CompressionType": "None",
    }


def _manifest_channel(name: str, manifests: Manifests) -> dict[str, Any]:
    source = {
        "S3DataType": "AugmentedManifestFile",
        "S3Uri": manifests.train if name == "train" else manifests.validation,
        "S3DataDistributionType": "FullyReplicated",
        "AttributeNames": ["source-ref", manifests.label_attribute],
    }
    return {
        "ChannelName": name,
        "DataSource": {"S3DataSource": source},
        "ContentType": "application/x-recordio",
        "CompressionType": "None",
        "RecordWrapperType": "RecordIO",
        "InputMode": "Pipe",
    }


def _given(**values: str | None) -> dict[str, str]:
    return {key: value for key, value in values.items() if value}


def _tags(tags: Mapping[str, str]) -> dict[str, Any]:
    return {"Tags": [{"Key": key, "Value": value} for key, value in sorted(tags.items())]} if tags else {}
