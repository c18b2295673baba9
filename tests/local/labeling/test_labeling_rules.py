"""Errors of CreateLabelingJob, over boto3: every rule names its field."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from botocore.exceptions import ClientError
from labeling_fixture import PUBLIC, Labeling

from gtseg.local.labeling.rules import LAMBDA_ACCOUNTS

ACCOUNTS = "arn:aws:lambda:{}:{}:function:{}"
PUBLIC_PRICE = {"PublicWorkforceTaskPrice": {"AmountInUsd": {"Dollars": 1, "Cents": 8, "TenthFractionsOfACent": 0}}}


@pytest.fixture(scope="module")
def labeling(shared_aws: Any) -> Labeling:
    return Labeling(shared_aws)


@pytest.fixture(scope="module")
def request_(labeling: Labeling) -> dict[str, Any]:
    return labeling.request(1)


def refuse(labeling: Labeling, request: dict[str, Any]) -> str:
    with pytest.raises(ClientError) as caught:
        labeling.sagemaker.create_labeling_job(**request)
    assert caught.value.response["Error"]["Code"] == "ValidationException"
    return caught.value.response["Error"]["Message"]


def put(document: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    changed = copy.deepcopy(document)
    *parents, last = path.split(".")
    place = changed
    for name in parents:
        place = place.setdefault(name, {})
    if value is None:
        del place[last]
    else:
        place[last] = value
    return changed


def test_the_error_for_the_ref_suffix_is_that_of_aws(labeling: Labeling, request_: dict) -> None:
    assert refuse(labeling, put(request_, "LabelAttributeName", "turtles")) == (
        "The value of the LabelAttributeName field for the Semantic Segmentation task type must end with '-ref'."
    )


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        ("LabelingJobName", "a b", "Member must satisfy regular expression pattern"),
        ("LabelAttributeName", "source-ref", "reserved"),
        ("LabelAttributeName", "a-ref-metadata", "can't end with '-metadata'"),
        ("RoleArn", "arn:aws:iam::1:role/short", "at 'roleArn' failed to satisfy constraint"),
        ("LabelCategoryConfigS3Uri", None, "LabelCategoryConfigS3Uri is required"),
        (
            "LabelCategoryConfigS3Uri",
            "s3://no-such-bucket-here/a.json",
            "LabelCategoryConfigS3Uri: s3://no-such-bucket-here/a.json cannot be read",
        ),
        (
            "InputConfig.DataSource.S3DataSource.ManifestS3Uri",
            "s3://no-such-bucket-here/m",
            "ManifestS3Uri: s3://no-such-bucket-here/m cannot be read",
        ),
        ("OutputConfig.S3OutputPath", "s3://no-such-bucket-here/out/", "the bucket no-such-bucket-here does not exist"),
        ("OutputConfig.SnsTopicArn", "arn:aws:sns:us-east-1:123456789012:t", "Streaming labeling jobs"),
        ("InputConfig.DataSource.S3DataSource", None, "requires an S3DataSource"),
        (
            "LabelingJobAlgorithmsConfig.LabelingJobAlgorithmSpecificationArn",
            "arn:aws:sagemaker:us-east-1:027400017018:labeling-job-algorithm-specification/semantic-segmentation",
            "Automated data labeling",
        ),
        (
            "HumanTaskConfig.WorkteamArn",
            "arn:aws:sagemaker:us-east-1:123456789012:workteam/private-crowd/nobody",
            "does not exist",
        ),
        (
            "HumanTaskConfig.WorkteamArn",
            "arn:aws:sagemaker:us-east-1:123456789012:workteam/vendor-crowd/x",
            "does not exist",
        ),
        (
            "HumanTaskConfig.WorkteamArn",
            "arn:aws:sagemaker:eu-west-1:123456789012:workteam/private-crowd/gtseg",
            "same AWS Region",
        ),
        (
            "HumanTaskConfig.UiConfig.HumanTaskUiArn",
            "arn:aws:sagemaker:us-east-1:394669845002:human-task-ui/x",
            "HumanTaskUiArn is not supported for image",
        ),
        ("HumanTaskConfig.UiConfig.UiTemplateS3Uri", None, "requires UiTemplateS3Uri"),
        ("HumanTaskConfig.PreHumanTaskLambdaArn", None, "PreHumanTaskLambdaArn is required"),
        ("HumanTaskConfig.AnnotationConsolidationConfig", None, "AnnotationConsolidationLambdaArn is required"),
        (
            "HumanTaskConfig.PreHumanTaskLambdaArn",
            "arn:aws:lambda:us-east-1:111122223333:function:mine",
            "custom Lambda functions are not supported",
        ),
        (
            "HumanTaskConfig.PreHumanTaskLambdaArn",
            "arn:aws:lambda:us-east-1:432418664414:function:PRE-BoundingBox",
            "isn't a built-in function for semantic segmentation",
        ),
        (
            "HumanTaskConfig.PreHumanTaskLambdaArn",
            "arn:aws:lambda:us-east-1:266458841044:function:PRE-SemanticSegmentation",
            "isn't a built-in function",
        ),
        (
            "HumanTaskConfig.PreHumanTaskLambdaArn",
            "arn:aws:lambda:us-east-2:266458841044:function:PRE-SemanticSegmentation",
            "must be in the same AWS Region",
        ),
        (
            "HumanTaskConfig.PreHumanTaskLambdaArn",
            "arn:aws:lambda:us-east-1:432418664414:function:PRE-AdjustmentSemanticSegmentation",
            "have different task types",
        ),
        (
            "HumanTaskConfig.PreHumanTaskLambdaArn",
            "arn:aws:lambda:us-east-1:432418664414:function:PRE-VerificationSemanticSegmentation",
            "have different task types",
        ),
        ("HumanTaskConfig.TaskTimeLimitInSeconds", 28_801, "28800 seconds"),
        ("HumanTaskConfig.TaskAvailabilityLifetimeInSeconds", 2_592_001, "2592000 seconds"),
        ("HumanTaskConfig.NumberOfHumanWorkersPerDataObject", 10, "Member must have value less than or equal to 9"),
        ("HumanTaskConfig.TaskKeywords", ["a"] * 6, "Member must have length less than or equal to 5"),
        ("HumanTaskConfig.TaskKeywords", ["a, b"], "at 'humanTaskConfig.taskKeywords.1.member' failed"),
        ("HumanTaskConfig.TaskDescription", "two\nlines", "at 'humanTaskConfig.taskDescription' failed"),
        ("HumanTaskConfig.MaxConcurrentTaskCount", 5001, "less than or equal to 5000"),
        ("HumanTaskConfig.PublicWorkforceTaskPrice", {"AmountInUsd": {"Cents": 84}}, "only for the public workforce"),
        ("InputConfig.DataAttributes", {"ContentClassifiers": ["Nope"]}, "Member must satisfy enum value set"),
        ("StoppingConditions", {"MaxPercentageOfInputDatasetLabeled": 101}, "less than or equal to 100"),
    ],
)
def test_each_rule_names_its_field(labeling: Labeling, request_: dict, path: str, value: Any, words: str) -> None:
    assert words in refuse(labeling, put(request_, path, value))


@pytest.mark.parametrize(
    ("document", "words"),
    [
        (b"{", "must be JSON"),
        (b'{"labels": {}}', "has 0 labels"),
        (b'{"labels": [{"name": "x"}]}', "must be JSON"),
        (b'{"labels": []}', "0 labels"),
        (b'{"labels": [{"label": "a"}, {"label": "a"}]}', "unique"),
        (b'{"labels": [{"label": ""}]}', "1 to 256 characters"),
        (b'{"labels": [{"label": 5}]}', "1 to 256 characters"),
        (b'{"labels": [{"label": "BACKGROUND"}]}', "remove it"),
        (
            b'{"labels": [' + b",".join(b'{"label": "%d"}' % n for n in range(256)) + b"]}",
            "256 labels; it must have 1 to 255",
        ),
    ],
)
def test_an_invalid_label_file_is_refused(labeling: Labeling, request_: dict, document: bytes, words: str) -> None:
    assert words in refuse(labeling, {**request_, "LabelCategoryConfigS3Uri": labeling.put("labels.json", document)})


@pytest.mark.parametrize(
    ("template", "words"),
    [(b"{% for %}", "not a valid Liquid template"), (b"\xff", "not UTF-8"), (b"", "0 characters")],
)
def test_a_broken_template_is_refused(labeling: Labeling, request_: dict, template: bytes, words: str) -> None:
    assert words in refuse(
        labeling, put(request_, "HumanTaskConfig.UiConfig.UiTemplateS3Uri", labeling.put("t.liquid", template))
    )


@pytest.mark.parametrize(
    ("human", "classifiers", "words"),
    [
        ({}, ["FreeOfPersonallyIdentifiableInformation"], "must be one of the prices"),
        (
            {"PublicWorkforceTaskPrice": {"AmountInUsd": {"Cents": 85}}},
            ["FreeOfPersonallyIdentifiableInformation"],
            "0.840, 0.960",
        ),
        (PUBLIC_PRICE, ["FreeOfAdultContent"], "FreeOfPersonallyIdentifiableInformation"),
        (PUBLIC_PRICE, [], "FreeOfPersonallyIdentifiableInformation"),
        (
            {**PUBLIC_PRICE, "TaskAvailabilityLifetimeInSeconds": 43_201},
            ["FreeOfPersonallyIdentifiableInformation"],
            "43200",
        ),
    ],
)
def test_the_public_crowd_has_additional_rules(
    labeling: Labeling, request_: dict, human: dict, classifiers: list, words: str
) -> None:
    request = copy.deepcopy(request_)
    request["HumanTaskConfig"].update({**human, "WorkteamArn": PUBLIC})
    request["InputConfig"]["DataAttributes"] = {"ContentClassifiers": classifiers}
    assert words in refuse(labeling, request)


def test_refused_requests_create_no_job(labeling: Labeling, request_: dict) -> None:
    refuse(labeling, put(request_, "HumanTaskConfig.TaskTimeLimitInSeconds", 99_999))
    assert (
        labeling.sagemaker.list_labeling_jobs(NameContains=request_["LabelingJobName"])["LabelingJobSummaryList"] == []
    )


def test_the_accounts_of_the_built_in_functions_are_those_of_the_api_reference() -> None:
    from botocore.session import get_session

    documentation = get_session().get_service_model("sagemaker").shape_for("AnnotationConsolidationConfig")
    text = documentation.members["AnnotationConsolidationLambdaArn"].documentation
    for region, account in LAMBDA_ACCOUNTS.items():
        assert ACCOUNTS.format(region, account, "ACS-SemanticSegmentation") in text
    assert text.count("function:ACS-SemanticSegmentation") == len(LAMBDA_ACCOUNTS)
