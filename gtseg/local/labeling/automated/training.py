"""Training job and model of a round: an ordinary training job and model, listed and logged as any other."""

from __future__ import annotations

import json
import random
import sqlite3
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gtseg.local.algorithm.untrusted.model_archive import BadArchive, unpack
from gtseg.local.embedded import Embedded
from gtseg.local.errors import ServiceError
from gtseg.local.hosting.models import Hosted, check_model
from gtseg.local.jobs.container_images import image_uri
from gtseg.local.jobs.records import NoWork
from gtseg.local.labeling.automated.records import TRAINING, Round, list_sample
from gtseg.local.labeling.output import complete_line
from gtseg.local.labeling.records import Job, open_manifest, read_manifest
from gtseg.local.storage.objects import StorageUnavailable, split_uri
from gtseg.local.training import TrainingJobs

INSTANCE = "ml.p3.2xlarge"
"""Instance type of automated labeling's training and inference (developer guide)."""
SAMPLES = 3500
"""Number of images that a training job processes over all epochs."""
EPOCHS = (10, 60)
KEPT = 0.1
"""Share of the training set used to choose the best epoch; the validation set is not used in training."""
FEWEST_KEPT = 4
SETTINGS_BYTES = 1 << 20
"""Limit on the size of hyperparams.json."""
DEFAULT = {"algorithm": "fcn", "backbone": "resnet-50"}
NETWORKS = {"algorithm": ("fcn", "psp", "deeplab"), "backbone": ("resnet-50", "resnet-101")}
CROPS = range(17, 4097)
"""Crop sizes in pixels; the largest image of automated labeling is 1920 pixels wide."""


class Failure(Exception):
    """The labeling job fails; the message is its failure reason."""


def name_training(job: Job, current: Round) -> str:
    """Return the name of the round's training job: the same at every attempt, unique by the random reference."""
    return f"{job.title[:40].rstrip('-')}-{job.reference[:12]}-{current.number}"


def hosted_models(embedded: Embedded) -> Hosted[NoWork]:
    return Hosted(embedded, "model", "model", work=NoWork)


def start_training(embedded: Embedded, job: Job, current: Round) -> None:
    """Write the round's manifests and create its training job, unless an earlier attempt created it. Raises Failure."""
    rows = list_sample(embedded.store, job, TRAINING)
    shuffled = random.Random(job.reference).sample(rows, len(rows))
    kept = max(FEWEST_KEPT, round(len(rows) * KEPT))
    if len(rows) < 2 * FEWEST_KEPT:
        raise Failure(
            f"ClientError: {len(rows)} objects of the training set were labeled; training requires {2 * FEWEST_KEPT}."
        )
    bucket, prefix = job.output
    folder = f"{prefix}training/round-{current.number}"
    for channel, chosen in (("train", shuffled[kept:]), ("validation", shuffled[:kept])):
        body = b"".join(line + b"\n" for line in read_lines(embedded, job, chosen))
        embedded.objects.put(bucket, f"{folder}/{channel}.manifest", body, kms_key=job.kms_key)
    request = make_request(embedded, job, current, f"s3://{bucket}/{folder}", len(rows) - kept)
    try:
        TrainingJobs(embedded).create(request)
    except StorageUnavailable:
        raise
    except ServiceError as error:
        if error.code != "ResourceInUse":
            raise Failure(f"ClientError: The training job could not be created: {error.message}") from None


def read_lines(embedded: Embedded, job: Job, rows: Sequence[sqlite3.Row]) -> list[bytes]:
    """Return the objects as lines of an augmented manifest."""
    lines = []
    with open_manifest(job, embedded.store) as file:
        for row in sorted(rows, key=lambda row: int(row["line"])):
            file.seek(row["start"])
            raw = read_manifest(file, job, embedded.store, length=row["length"])
            lines.append(complete_line(job, raw, row))
    return lines


def make_request(embedded: Embedded, job: Job, current: Round, folder: str, training: int) -> dict[str, Any]:
    """Return the CreateTrainingJob request."""
    epochs = min(max(round(SAMPLES / training), EPOCHS[0]), EPOCHS[1])
    hyperparameters = {
        "num_classes": str(len(job.labels) + 1),
        "num_training_samples": str(training),
        "epochs": str(epochs),
    }
    channels: list[dict[str, Any]] = [
        {
            "ChannelName": name,
            "InputMode": "Pipe",
            "RecordWrapperType": "RecordIO",
            "ContentType": "application/x-recordio",
            "DataSource": {
                "S3DataSource": {
                    "S3DataType": "AugmentedManifestFile",
                    "S3Uri": f"{folder}/{name}.manifest",
                    "S3DataDistributionType": "FullyReplicated",
                    "AttributeNames": ["source-ref", job.attribute],
                }
            },
        }
        for name in ("train", "validation")
    ]
    initial = find_initial_model(embedded, job.request)
    if initial is not None:
        settings = read_settings(embedded, initial)
        hyperparameters |= {
            name: settings[name]
            for name in ("algorithm", "backbone")
            if settings.get(name) not in (None, DEFAULT[name])
        }
        hyperparameters["crop_size"] = settings["_crop_size"]
        source = {"S3DataType": "S3Prefix", "S3Uri": initial, "S3DataDistributionType": "FullyReplicated"}
        channels.append({"ChannelName": "model", "DataSource": {"S3DataSource": source}})
    return {
        "TrainingJobName": name_training(job, current),
        "AlgorithmSpecification": {
            "TrainingImage": image_uri(embedded.store.region),
            "TrainingInputMode": "File",
        },
        "RoleArn": job.request["RoleArn"],
        "HyperParameters": hyperparameters,
        "InputDataConfig": channels,
        "OutputDataConfig": {"S3OutputPath": folder, **({"KmsKeyId": job.kms_key} if job.kms_key else {})},
        "ResourceConfig": {"InstanceType": INSTANCE, "InstanceCount": 1, "VolumeSizeInGB": 50},
        "StoppingCondition": {"MaxRuntimeInSeconds": 86_400},
        "Tags": [{"Key": "gtseg:labeling-job", "Value": job.title}],
    }


def find_initial_model(embedded: Embedded, request: dict[str, Any]) -> str | None:
    """Return the S3 URI of the artifact of InitialActiveLearningModelArn; None without one. Raises ServiceError."""
    arn = (request.get("LabelingJobAlgorithmsConfig") or {}).get("InitialActiveLearningModelArn")
    if not arn:
        return None
    models = hosted_models(embedded)
    name = str(arn).rpartition("/")[2]
    for record in models.records.list_by_status():
        if models.records.arn(record.name) == str(arn) or record.answer["ModelArn"] == arn:
            return str(record.answer["PrimaryContainer"]["ModelDataUrl"])
    raise ServiceError(
        "ValidationException",
        f"InitialActiveLearningModelArn: the model {name!r} ({arn}) does not exist. Use the "
        "FinalActiveLearningModelArn of a completed labeling job.",
    )


def read_settings(embedded: Embedded, uri: str) -> dict[str, str]:
    """Return the settings of a model's training (hyperparams.json in its artifact).

    Raises ServiceError ValidationException.
    """
    bucket, key = split_uri(uri)
    try:
        with tempfile.TemporaryDirectory() as folder, embedded.objects.file(bucket, key) as archive:
            unpack(archive, Path(folder))
            with (Path(folder) / "hyperparams.json").open("rb") as file:
                settings = json.loads(file.read(SETTINGS_BYTES))
            check_settings(settings)
    except (
        ServiceError,
        BadArchive,
        OSError,
        ValueError,
        KeyError,
        TypeError,
        OverflowError,
        RecursionError,
    ):
        raise ServiceError(
            "ValidationException",
            f"InitialActiveLearningModelArn: training cannot continue from {uri}, which is not a valid model of this "
            "algorithm.",
        ) from None
    return {str(name): str(value) for name, value in settings.items()}


def check_settings(settings: dict[str, Any]) -> None:
    """Raise ValueError, KeyError or TypeError for settings that are not valid for a training job."""
    int(settings["num_classes"])
    if int(settings["_crop_size"]) not in CROPS:
        raise ValueError(f"_crop_size {settings['_crop_size']} is not supported")
    for name, known in NETWORKS.items():
        if settings.get(name, DEFAULT[name]) not in known:
            raise ValueError(f"{name} {settings[name]} is not supported")


def check_initial_model(embedded: Embedded, request: dict[str, Any], labels: Sequence[str]) -> None:
    """Raise ServiceError ValidationException if the initial model does not exist or has other classes."""
    initial = find_initial_model(embedded, request)
    if initial is None:
        return
    found = int(read_settings(embedded, initial)["num_classes"])
    if found != len(labels) + 1:
        raise ServiceError(
            "ValidationException",
            f"InitialActiveLearningModelArn: the model has {found - 1} labels without background, but this job has "
            f"{len(labels)}.",
        )


def model_artifact(answer: dict[str, Any]) -> str:
    """Return the S3 URI of a completed training job's model."""
    return str(answer["ModelArtifacts"]["S3ModelArtifacts"])


def create_model(embedded: Embedded, job: Job, current: Round, *, artifact: str) -> str:
    """Create the SageMaker model of a training job's artifact, unless it exists; return its ARN. Raises Failure."""
    models = hosted_models(embedded)
    name = name_training(job, current)
    arn = models.records.arn(name)
    if models.records.find(name) is not None:
        return arn
    split_uri(artifact)
    request = {
        "ModelName": name,
        "ExecutionRoleArn": job.request["RoleArn"],
        "PrimaryContainer": {"Image": image_uri(embedded.store.region), "ModelDataUrl": artifact},
        "Tags": [{"Key": "gtseg:labeling-job", "Value": job.title}],
    }
    try:
        return models.add(check_model(embedded, request, arn), request)
    except StorageUnavailable:
        raise
    except ServiceError as error:
        raise Failure(f"ClientError: The model could not be created: {error.message}") from None
