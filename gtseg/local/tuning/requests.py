"""CreateHyperParameterTuningJob: validation, and the training job requests of its trials."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gtseg.local.embedded import Embedded
from gtseg.local.jobs.records import now
from gtseg.local.jobs.requests import invalid, pick, refuse
from gtseg.local.training.metrics import DEFINITIONS, OBJECTIVES
from gtseg.local.training.requests import check_request
from gtseg.local.tuning.search import Parameter, count_grid, read_ranges

TUNABLE = {
    "learning_rate": "continuous",
    "mini_batch_size": "integer",
    "momentum": "continuous",
    "optimizer": "categorical",
    "weight_decay": "continuous",
}
"""DG semantic-segmentation-tuning.md, except `adadelta`, which the algorithm's `optimizer` hyperparameter lacks."""
STRATEGIES = ("Bayesian", "Random", "Grid")
COPIED = (
    "RoleArn",
    "InputDataConfig",
    "VpcConfig",
    "OutputDataConfig",
    "StoppingCondition",
    "EnableNetworkIsolation",
    "EnableInterContainerTrafficEncryption",
    "EnableManagedSpotTraining",
    "Environment",
    "RetryStrategy",
)
CHOSEN_LATER = "tuned"


def check_tuning_request(embedded: Embedded, request: Mapping[str, Any]) -> None:
    """Raise ValidationException for what AWS rejects, and for what the embedded AWS does not support."""
    refuse(request, ("WarmStartConfig", "TrainingJobDefinitions", "Autotune"))
    config, definition = request["HyperParameterTuningJobConfig"], request.get("TrainingJobDefinition")
    if not definition:
        raise invalid("TrainingJobDefinition is required.")
    refuse(definition, ("TuningObjective", "HyperParameterRanges"))
    _check_resources(definition)
    if config["Strategy"] not in STRATEGIES:
        raise invalid(
            f"Strategy {config['Strategy']} is not supported by the embedded AWS. Use one of {', '.join(STRATEGIES)}."
        )
    refuse(config, ("StrategyConfig",))
    _check_objective(config)
    parameters = _check_ranges(config.get("ParameterRanges", {}))
    _check_overlap(parameters, definition.get("StaticHyperParameters", {}))
    _check_limits(config, parameters)
    _check_criteria(config.get("TuningJobCompletionCriteria", {}))
    values = {parameter.name: CHOSEN_LATER for parameter in parameters}
    check_request(embedded, make_training_request(request, f"{request['HyperParameterTuningJobName']}-001", values))


def _check_resources(definition: Mapping[str, Any]) -> None:
    """Raise ValidationException unless there is one of the two resource configurations, with one instance type."""
    chosen = definition.get("HyperParameterTuningResourceConfig")
    if chosen is None:
        return
    if "ResourceConfig" in definition:
        raise invalid(
            "You must specify either ResourceConfig or HyperParameterTuningResourceConfig, not both, in a"
            " TrainingJobDefinition."
        )
    if len(chosen.get("InstanceConfigs", [])) > 1:
        raise invalid(
            "HyperParameterTuningResourceConfig.InstanceConfigs: the embedded AWS supports only one instance type."
        )


def _read_resources(definition: Mapping[str, Any]) -> dict[str, Any]:
    """Return the trials' ResourceConfig (API reference, HyperParameterTuningResourceConfig).

    AllocationStrategy only ranks several instance types.
    """
    chosen = definition.get("HyperParameterTuningResourceConfig")
    if chosen is None:
        return dict(pick(definition, ("ResourceConfig",)))
    instance = next(iter(chosen.get("InstanceConfigs", [])), chosen)
    members = ("InstanceType", "InstanceCount", "VolumeSizeInGB")
    resources = {**pick(chosen, (*members, "VolumeKmsKeyId")), **pick(instance, members)}
    return {"ResourceConfig": resources}


def _check_objective(config: Mapping[str, Any]) -> None:
    objective = config.get("HyperParameterTuningJobObjective")
    if not objective:
        raise invalid("HyperParameterTuningJobConfig.HyperParameterTuningJobObjective is required.")
    if objective["MetricName"] not in OBJECTIVES:
        raise invalid(
            f"The objective metric [{objective['MetricName']}] is not one of the algorithm's: "
            f"[{', '.join(OBJECTIVES)}]."
        )
    if objective["Type"] != "Maximize":
        raise invalid(f"The objective type for the metric [{objective['MetricName']}] must be Maximize.")


def _check_ranges(ranges: Mapping[str, Any]) -> list[Parameter]:
    refuse(ranges, ("AutoParameters",))
    try:
        parameters = read_ranges(ranges)
    except ValueError as error:
        raise invalid(f"ParameterRanges: {error}") from None
    if not parameters:
        raise invalid("ParameterRanges must contain at least one hyperparameter.")
    names = [parameter.name for parameter in parameters]
    for parameter in parameters:
        if names.count(parameter.name) > 1:
            raise invalid(f"ParameterRanges: {parameter.name} has more than one range.")
        kind = TUNABLE.get(parameter.name)
        if kind is None:
            raise invalid(
                f"ParameterRanges: the hyperparameter {parameter.name!r} is not tunable; tunable: {', '.join(TUNABLE)}."
            )
        if parameter.kind not in (kind, "categorical"):
            raise invalid(
                f"ParameterRanges: {parameter.name} takes a {kind} range, not a range of type {parameter.kind}."
            )
    return parameters


def _check_overlap(parameters: Sequence[Parameter], static: Mapping[str, str]) -> None:
    both = sorted({parameter.name for parameter in parameters} & static.keys())
    if both:
        raise invalid(f"Hyperparameters cannot be both static and tuned: {', '.join(both)}.")


def _check_limits(config: Mapping[str, Any], parameters: Sequence[Parameter]) -> None:
    limits = config["ResourceLimits"]
    most = limits.get("MaxNumberOfTrainingJobs")
    if config["Strategy"] == "Grid":
        if any(parameter.kind != "categorical" for parameter in parameters):
            raise invalid("The Grid strategy takes CategoricalParameterRanges only.")
        count = count_grid(parameters)
        if most not in (None, count):
            raise invalid(
                f"MaxNumberOfTrainingJobs must be omitted or {count}, the number of combinations, not {most}."
            )
    elif most is None:
        raise invalid("ResourceLimits.MaxNumberOfTrainingJobs is required.")


def _check_criteria(criteria: Mapping[str, Any]) -> None:
    refuse(criteria, ("ConvergenceDetected",))


def make_training_request(request: Mapping[str, Any], name: str, values: Mapping[str, str]) -> dict[str, Any]:
    """Return the CreateTrainingJob request of a trial.

    Its checkpoints have their own folder below the definition's CheckpointConfig.S3Uri, so that no trial continues from
    another one's weights.
    """
    definition = request["TrainingJobDefinition"]
    objective = request["HyperParameterTuningJobConfig"]["HyperParameterTuningJobObjective"]["MetricName"]
    given = {
        "TrainingJobName": name,
        "AlgorithmSpecification": definition["AlgorithmSpecification"],
        "HyperParameters": {
            **definition.get("StaticHyperParameters", {}),
            **values,
            "_tuning_objective_metric": objective,
        },
        **pick(definition, COPIED),
        **_read_resources(definition),
        **pick(request, ("Tags",)),
    }
    if definition.get("CheckpointConfig"):
        checkpoint = definition["CheckpointConfig"]
        given["CheckpointConfig"] = {**checkpoint, "S3Uri": f"{checkpoint['S3Uri'].rstrip('/')}/{name}"}
    return given


def begin_answer(request: Mapping[str, Any], arn: str) -> dict[str, Any]:
    """Return the initial Describe response; the part that depends on the trials is added at each call."""
    definition = dict(request["TrainingJobDefinition"])
    objective = request["HyperParameterTuningJobConfig"]["HyperParameterTuningJobObjective"]["MetricName"]
    definition["StaticHyperParameters"] = {
        **definition.get("StaticHyperParameters", {}),
        "_tuning_objective_metric": objective,
    }
    definition["AlgorithmSpecification"] = {
        **definition["AlgorithmSpecification"],
        "MetricDefinitions": [{"Name": key, "Regex": regex} for key, regex in DEFINITIONS.items()],
    }
    definition |= _read_resources(definition)  # SDK v2's attach() reads ResourceConfig
    moment = now()
    return {
        "HyperParameterTuningJobName": request["HyperParameterTuningJobName"],
        "HyperParameterTuningJobArn": arn,
        "HyperParameterTuningJobConfig": request["HyperParameterTuningJobConfig"],
        "TrainingJobDefinition": definition,
        "HyperParameterTuningJobStatus": "InProgress",
        "CreationTime": moment,
        "LastModifiedTime": moment,
    }
