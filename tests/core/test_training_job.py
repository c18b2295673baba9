from __future__ import annotations

from dataclasses import replace

import pytest
from botocore.session import get_session
from botocore.validate import ParamValidator

from gtseg.core.training.job import (
    Manifests,
    TrainingJob,
    Tuning,
    disagreements,
    hyperparameter_strings,
    parameter_ranges,
    training_request,
    tuning_request,
)

MODEL = get_session().get_service_model("sagemaker")
JOB = TrainingJob(
    role_arn="arn:aws:iam::123456789012:role/gtseg",
    image_uri="811284229777.dkr.ecr.us-east-1.amazonaws.com/semantic-segmentation:1",
    hyperparameters={"num_classes": "3", "num_training_samples": "42"},
    output="s3://b/p/training/",
    channels="s3://b/p/channels/",
)
FULL = replace(
    JOB,
    label_map=True,
    initial_model="s3://b/m/model.tar.gz",
    spot=True,
    checkpoints="s3://b/c/",
    kms_key="k",
    volume_kms_key="v",
    subnets=("subnet-1",),
    security_groups=("sg-1",),
    network_isolation=True,
    tags={"gtseg:run": "x"},
)
MANIFESTS = replace(JOB, manifests=Manifests("s3://b/train.manifest", "s3://b/validation.manifest", "turtles-ref"))
TUNING = Tuning(
    ranges={"learning_rate": (1e-4, 1e-1), "mini_batch_size": (1, 128), "optimizer": ("sgd", "adam")}, seed=1
)


def problems(operation: str, request: dict) -> str:
    shape = MODEL.operation_model(operation).input_shape
    return ParamValidator().validate(request, shape).generate_report()


@pytest.mark.parametrize("job", [JOB, FULL, MANIFESTS])
def test_requests_fit_the_service_model(job) -> None:
    assert problems("CreateTrainingJob", training_request("n-train-1", job)) == ""
    assert problems("CreateHyperParameterTuningJob", tuning_request("n-tune-1", job, TUNING)) == ""


def channels(request: dict) -> dict:
    return {channel["ChannelName"]: channel for channel in request["InputDataConfig"]}


def test_every_channel_uri_ends_with_a_slash() -> None:
    uris = {name: c["DataSource"]["S3DataSource"]["S3Uri"] for name, c in channels(training_request("n", JOB)).items()}
    assert uris == {
        name: f"s3://b/p/channels/{name}/"
        for name in ("train", "train_annotation", "validation", "validation_annotation")
    }


def test_a_training_request_has_no_test_channels() -> None:
    assert not any("test" in name for job in (JOB, FULL, MANIFESTS) for name in channels(training_request("n", job)))


def test_label_map_and_initial_model_are_channels_only_if_needed() -> None:
    assert {"label_map", "model"} <= channels(training_request("n", FULL)).keys()
    assert channels(training_request("n", FULL))["model"]["InputMode"] == "File"
    assert not {"label_map", "model"} & channels(training_request("n", JOB)).keys()


def test_the_augmented_manifest_mode_is_pipe_recordio_and_has_two_channels() -> None:
    request = training_request("n", MANIFESTS)
    assert request["AlgorithmSpecification"]["TrainingInputMode"] == "Pipe"
    assert list(channels(request)) == ["train", "validation"]
    train = channels(request)["train"]
    assert train["RecordWrapperType"] == "RecordIO"
    assert train["DataSource"]["S3DataSource"]["AttributeNames"] == ["source-ref", "turtles-ref"]


def test_spot_training_waits_longer_than_it_runs() -> None:
    stopping = training_request("n", FULL)["StoppingCondition"]
    assert stopping["MaxWaitTimeInSeconds"] >= stopping["MaxRuntimeInSeconds"]
    assert "EnableManagedSpotTraining" not in training_request("n", JOB)


def test_hyperparameters_are_strings_and_unset_ones_are_omitted() -> None:
    values = {
        "epochs": 30,
        "syncbn": True,
        "learning_rate": 0.0001,
        "lr_scheduler_step": (10, 20),
        "backbone": None,
    }
    assert hyperparameter_strings(values) == {
        "epochs": "30",
        "syncbn": "True",
        "learning_rate": "0.0001",
        "lr_scheduler_step": "10,20",
    }


def test_a_tuned_hyperparameter_is_not_static() -> None:
    job = replace(JOB, hyperparameters=dict(JOB.hyperparameters) | {"learning_rate": "0.01"})
    definition = tuning_request("n", job, TUNING)["TrainingJobDefinition"]
    assert definition["StaticHyperParameters"] == dict(JOB.hyperparameters)


def test_ranges_have_the_type_of_their_hyperparameter() -> None:
    assert parameter_ranges(TUNING.ranges) == {
        "IntegerParameterRanges": [
            {"Name": "mini_batch_size", "MinValue": "1", "MaxValue": "128", "ScalingType": "Auto"}
        ],
        "ContinuousParameterRanges": [
            {"Name": "learning_rate", "MinValue": "0.0001", "MaxValue": "0.1", "ScalingType": "Logarithmic"}
        ],
        "CategoricalParameterRanges": [{"Name": "optimizer", "Values": ["sgd", "adam"]}],
    }


def test_an_initial_model_must_have_the_same_hyperparameters_including_defaults() -> None:
    assert disagreements({"num_classes": "3"}, {"num_classes": "3", "backbone": "resnet-50", "crop_size": "240"}) == []
    assert disagreements({"num_classes": "3"}, {"num_classes": "4", "algorithm": "psp"}) == [
        "algorithm is fcn, the earlier model has psp",
        "num_classes is 3, the earlier model has 4",
    ]
