"""Tuning jobs of the embedded AWS: trials on a real server, and unit tests of the search."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from drawn_channels import training_request, upload_channels
from hypothesis import given
from hypothesis import strategies as st
from polling import wait_for

from gtseg.local.tuning.early_stopping import is_worse
from gtseg.local.tuning.search import Parameter, Trial, read_ranges, suggest


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    from local_aws import LocalAWS

    server = LocalAWS(tmp_path_factory.mktemp("tuning") / "aws")
    upload_channels(server, "drawn")
    yield server
    server.stop()


def tuning_request(name: str, *, strategy: str = "Random", jobs: int | None = 2, **config: Any) -> dict[str, Any]:
    training = training_request("unused", "drawn", epochs="1")
    ranges = {"CategoricalParameterRanges": [{"Name": "optimizer", "Values": ["sgd", "adam"]}]}
    if strategy != "Grid":
        learning_rate = {"Name": "learning_rate", "MinValue": "0.0001", "MaxValue": "0.1"}
        ranges["ContinuousParameterRanges"] = [{**learning_rate, "ScalingType": "Logarithmic"}]
    return {
        "HyperParameterTuningJobName": name,
        "HyperParameterTuningJobConfig": {
            "Strategy": strategy,
            "HyperParameterTuningJobObjective": {"Type": "Maximize", "MetricName": "validation:mIOU"},
            "ResourceLimits": {
                "MaxParallelTrainingJobs": 1,
                **({"MaxNumberOfTrainingJobs": jobs} if jobs else {}),
            },
            "ParameterRanges": ranges,
            **config,
        },
        "TrainingJobDefinition": {
            "StaticHyperParameters": training["HyperParameters"],
            **{
                member: training[member]
                for member in (
                    "AlgorithmSpecification",
                    "RoleArn",
                    "InputDataConfig",
                    "OutputDataConfig",
                    "ResourceConfig",
                    "StoppingCondition",
                )
            },
        },
    }


def await_tuning(aws: Any, name: str) -> dict[str, Any]:
    def look() -> Any:
        answer = aws.client("sagemaker").describe_hyper_parameter_tuning_job(HyperParameterTuningJobName=name)
        return answer if answer["HyperParameterTuningJobStatus"] not in ("InProgress", "Stopping") else None

    return wait_for(look)


def test_a_grid_runs_every_combination_once_and_finds_the_best(aws: Any) -> None:
    sagemaker = aws.client("sagemaker")
    sagemaker.create_hyper_parameter_tuning_job(**tuning_request("grid", strategy="Grid", jobs=None))
    answer = await_tuning(aws, "grid")
    assert answer["HyperParameterTuningJobStatus"] == "Completed", answer.get("FailureReason")
    assert answer["TrainingJobStatusCounters"]["Completed"] == 2
    assert answer["ObjectiveStatusCounters"] == {"Succeeded": 2, "Pending": 0, "Failed": 0}
    listed = sagemaker.list_training_jobs_for_hyper_parameter_tuning_job(
        HyperParameterTuningJobName="grid", SortBy="FinalObjectiveMetricValue", SortOrder="Descending"
    )["TrainingJobSummaries"]
    assert sorted(trial["TunedHyperParameters"]["optimizer"] for trial in listed) == ["adam", "sgd"]
    scores = [trial["FinalHyperParameterTuningJobObjectiveMetric"]["Value"] for trial in listed]
    assert scores == sorted(scores, reverse=True)
    assert answer["BestTrainingJob"]["TrainingJobName"] == listed[0]["TrainingJobName"]
    best = sagemaker.describe_training_job(TrainingJobName=listed[0]["TrainingJobName"])
    assert best["TuningJobArn"] == answer["HyperParameterTuningJobArn"]
    assert best["HyperParameters"]["_tuning_objective_metric"] == "validation:mIOU"
    final = {item["MetricName"]: item["Value"] for item in best["FinalMetricDataList"]}
    assert final["validation:mIOU"] == scores[0]


def test_a_stopped_tuning_job_stops_its_trial_after_a_kill_of_the_server(
    start_local_aws: Any,
) -> None:
    aws = start_local_aws()
    upload_channels(aws, "drawn")
    request = tuning_request("halted", jobs=5)
    request["TrainingJobDefinition"]["StaticHyperParameters"]["epochs"] = "5000"
    aws.client("sagemaker").create_hyper_parameter_tuning_job(**request)

    def list_trials() -> Any:
        return aws.client("sagemaker").list_training_jobs_for_hyper_parameter_tuning_job(
            HyperParameterTuningJobName="halted"
        )["TrainingJobSummaries"]

    wait_for(list_trials)
    aws.kill9()
    aws.start()
    aws.client("sagemaker").stop_hyper_parameter_tuning_job(HyperParameterTuningJobName="halted")
    answer = await_tuning(aws, "halted")
    assert answer["HyperParameterTuningJobStatus"] == "Stopped"
    assert [trial["TrainingJobStatus"] for trial in list_trials()] == ["Stopped"]
    with pytest.raises(ClientError, match="is in status Stopped"):
        aws.client("sagemaker").stop_hyper_parameter_tuning_job(HyperParameterTuningJobName="halted")


def test_a_tuning_job_whose_trials_all_fail_fails(aws: Any) -> None:
    request = tuning_request("hopeless", jobs=1)
    request["TrainingJobDefinition"]["StaticHyperParameters"]["num_classes"] = "1"
    aws.client("sagemaker").create_hyper_parameter_tuning_job(**request)
    answer = await_tuning(aws, "hopeless")
    assert answer["HyperParameterTuningJobStatus"] == "Failed"
    assert answer["FailureReason"].startswith("All training jobs failed.")
    assert answer["TrainingJobStatusCounters"]["NonRetryableError"] == 1
    assert "BestTrainingJob" not in answer


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"Strategy": "Hyperband"}, "Strategy Hyperband is not supported"),
        (
            {"HyperParameterTuningJobObjective": {"Type": "Minimize", "MetricName": "validation:mIOU"}},
            "Maximize",
        ),
        (
            {"HyperParameterTuningJobObjective": {"Type": "Maximize", "MetricName": "accuracy"}},
            "validation:mIOU",
        ),
        ({"ParameterRanges": {}}, "at least one"),
        (
            {"ParameterRanges": {"IntegerParameterRanges": [{"Name": "epochs", "MinValue": "1", "MaxValue": "9"}]}},
            "not tunable",
        ),
        ({"ResourceLimits": {"MaxParallelTrainingJobs": 1}}, "MaxNumberOfTrainingJobs is required"),
    ],
)
def test_invalid_tuning_requests_are_refused(aws: Any, change: dict[str, Any], message: str) -> None:
    request = tuning_request("refused")
    request["HyperParameterTuningJobConfig"] |= change
    with pytest.raises(ClientError, match="ValidationException") as caught:
        aws.client("sagemaker").create_hyper_parameter_tuning_job(**request)
    assert message in str(caught.value)


def test_warm_start_is_refused(aws: Any) -> None:
    parents = [{"HyperParameterTuningJobName": "grid"}]
    warm = {"ParentHyperParameterTuningJobs": parents, "WarmStartType": "TransferLearning"}
    with pytest.raises(ClientError, match="WarmStartConfig is not supported"):
        aws.client("sagemaker").create_hyper_parameter_tuning_job(**tuning_request("warm"), WarmStartConfig=warm)


def make_number(kind: str, low: str, high: str, scaling: str) -> Parameter:
    member = "IntegerParameterRanges" if kind == "integer" else "ContinuousParameterRanges"
    given_range = {"Name": "x", "MinValue": low, "MaxValue": high, "ScalingType": scaling}
    (parameter,) = read_ranges({member: [given_range]})
    return parameter


@given(
    st.floats(0, 1, exclude_max=True),
    st.sampled_from(["Linear", "Logarithmic", "ReverseLogarithmic", "Auto"]),
)
def test_a_suggestion_is_in_range_and_round_trips_through_its_encoding(place: float, scaling: str) -> None:
    parameter = make_number("continuous", "0.0001", "0.5", scaling)
    text = parameter.decode(place)
    assert 0.0001 <= float(text) <= 0.5
    assert parameter.encode(text)[0] == pytest.approx(place, abs=1e-6)


@given(st.floats(0, 1, exclude_max=True), st.sampled_from(["Linear", "Logarithmic"]))
def test_an_integer_suggestion_is_an_integer_in_its_range(place: float, scaling: str) -> None:
    value = int(make_number("integer", "1", "128", scaling).decode(place))
    assert 1 <= value <= 128


def test_bayesian_search_finds_a_maximum_that_random_search_misses() -> None:
    parameters = [
        make_number("continuous", "0.0001", "0.1", "Logarithmic"),
        Parameter("o", "categorical", values=("a", "b")),
    ]

    def score(values: dict[str, str]) -> float:
        return math.exp(-((math.log10(float(values["x"])) + 2.2) ** 2) / 0.02) + 0.2 * (values["o"] == "a")

    def search(strategy: str, seed: int) -> float:
        trials: list[Trial] = []
        for _ in range(15):
            values = suggest(strategy, parameters, trials, seed=seed)
            trials.append(Trial(values, score(values)))
        return max(trial.score or 0.0 for trial in trials)

    best = {strategy: [search(strategy, seed) for seed in range(4)] for strategy in ("Bayesian", "Random")}
    assert sum(best["Bayesian"]) > 1.2 * sum(best["Random"])


def test_a_suggestion_depends_on_the_seed_and_the_results_alone() -> None:
    parameters = [make_number("continuous", "0.0001", "0.1", "Auto")]
    trials = [Trial({"x": str(0.0001 * 3**n)}, n / 10) for n in range(5)]
    first, again = (suggest("Bayesian", parameters, trials, seed=3) for _ in range(2))
    assert first == again
    assert first != suggest("Random", parameters, trials, seed=3)


def test_early_stopping_is_the_median_rule() -> None:
    before = [[0.2, 0.4], [0.4, 0.6], [0.6, 0.8]]
    assert is_worse([0.3], before)
    assert not is_worse([0.4], before)
    assert is_worse([0.9, 0.4], before)
    assert not is_worse([], before)
    assert not is_worse([0.0], before[:2])


SDK_V2 = Path(__file__).parents[1] / "data" / "sagemaker-sdk-v2" / "create_hyper_parameter_tuning_job.json"


def read_metrics(cloudwatch: Any, job: dict[str, Any]) -> dict[str, list[float]]:
    """Read the metrics as SDK v2's TrainingJobAnalytics does."""
    found = {}
    for definition in job["AlgorithmSpecification"]["MetricDefinitions"]:
        answer = cloudwatch.get_metric_statistics(
            Namespace="/aws/sagemaker/TrainingJobs",
            MetricName=definition["Name"],
            Dimensions=[{"Name": "TrainingJobName", "Value": job["TrainingJobName"]}],
            StartTime=job["TrainingStartTime"],
            EndTime=job["TrainingEndTime"] + timedelta(minutes=1),
            Period=60,
            Statistics=["Average"],
        )
        found[definition["Name"]] = [point["Average"] for point in answer["Datapoints"]]
    return found


def test_a_tuning_request_of_sdk_v2_succeeds_with_the_metrics_that_it_reads(aws: Any) -> None:
    sagemaker, request = aws.client("sagemaker"), json.loads(SDK_V2.read_text())
    request["HyperParameterTuningJobConfig"]["ResourceLimits"]["MaxNumberOfTrainingJobs"] = 1
    request["TrainingJobDefinition"]["StaticHyperParameters"]["epochs"] = "1"
    sagemaker.create_hyper_parameter_tuning_job(**request)
    answer = await_tuning(aws, "v2tuner")
    assert answer["HyperParameterTuningJobStatus"] == "Completed", answer.get("FailureReason")
    definition = answer["TrainingJobDefinition"]  # of attach()
    assert definition["ResourceConfig"] == definition["HyperParameterTuningResourceConfig"]
    names = {item["Name"] for item in definition["AlgorithmSpecification"]["MetricDefinitions"]}
    job = sagemaker.describe_training_job(TrainingJobName=answer["BestTrainingJob"]["TrainingJobName"])
    assert job["ResourceConfig"]["InstanceType"] == "ml.g4dn.xlarge"
    cloudwatch = aws.client("cloudwatch")
    metrics = read_metrics(cloudwatch, job)
    assert metrics.keys() == names
    assert all(metrics.values())
    listed = cloudwatch.list_metrics(Namespace="/aws/sagemaker/TrainingJobs", MetricName="validation:mIOU")
    dimensions = [metric["Dimensions"] for metric in listed["Metrics"]]
    assert [{"Name": "TrainingJobName", "Value": job["TrainingJobName"]}] in dimensions


def test_a_training_definition_requires_exactly_one_resource_configuration(aws: Any) -> None:
    sagemaker, request = aws.client("sagemaker"), json.loads(SDK_V2.read_text())
    definition, name = request["TrainingJobDefinition"], "HyperParameterTuningResourceConfig"
    request["HyperParameterTuningJobName"] = "both"
    definition["ResourceConfig"] = definition[name]
    with pytest.raises(ClientError, match="either ResourceConfig or HyperParameterTuningResourceConfig"):
        sagemaker.create_hyper_parameter_tuning_job(**request)
    del definition["ResourceConfig"]
    instances = [definition[name], {**definition[name], "InstanceType": "ml.p3.2xlarge"}]
    definition[name] = {"InstanceConfigs": instances}
    with pytest.raises(ClientError, match="only one instance type"):
        sagemaker.create_hyper_parameter_tuning_job(**request)
