"""CreateLabelingJob requests against botocore's service model, also where boto3 does not validate."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

import botocore.session
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gtseg.core.labeling.job import (
    FREE_OF_PII,
    PRICE_TIERS,
    labeling_job_request,
    plan_labeling_job,
    price_in_parts,
)
from gtseg.core.labeling.regions import LAMBDA_ACCOUNTS, public_crowd_arn
from gtseg.errors import SettingsError

TEAM = "arn:aws:sagemaker:us-east-1:111122223333:workteam/private-crowd/team"
PLAIN: dict[str, Any] = {
    "name": "cats-label-1",
    "label_attribute": "cats-label-1-ref",
    "region": "us-east-1",
    "role_arn": "arn:aws:iam::111122223333:role/GT",
    "input_manifest": "s3://b/cats/labeling/cats-label-1/input.manifest",
    "output": "s3://b/cats/labeling/",
    "label_file": "s3://b/cats/labeling/cats-label-1/annotation-tool/data.json",
    "template": "s3://b/cats/labeling/cats-label-1/annotation-tool/template.liquid",
    "workforce": "private",
    "workteam_arn": TEAM,
    "objects": 100,
    "labels": 3,
    "title": "Semantic segmentation",
    "description": "Mark every pixel",
    "keywords": ("Images", "image segmentation"),
    "workers_per_object": 3,
    "task_time_limit": 3600,
    "task_lifetime": 864000,
    "max_concurrent_tasks": 1000,
}
PUBLIC = PLAIN | {
    "workforce": "public",
    "workteam_arn": public_crowd_arn("us-east-1"),
    "price_per_task": Decimal("1.08"),
    "content_classifiers": (FREE_OF_PII,),
    "task_lifetime": 21600,
}


def problems(shape: Any, value: Any, path: str = "") -> list[str]:
    """Return violations of a botocore shape: required and unknown members, types, patterns, enums, ranges."""
    kind, limits = shape.type_name, shape.metadata
    found: list[str] = []
    if kind == "structure":
        found += [f"{path}: {key} is missing" for key in limits.get("required", []) if key not in value]
        found += [f"{path}: {key} is unknown" for key in value if key not in shape.members]
        for key in value.keys() & shape.members.keys():
            found += problems(shape.members[key], value[key], f"{path}.{key}")
        return found
    if kind == "list":
        found += [p for i, item in enumerate(value) for p in problems(shape.member, item, f"{path}[{i}]")]
    size = value if kind in {"integer", "long", "float"} else len(value)
    if size < limits.get("min", size) or size > limits.get("max", size):
        found.append(f"{path} = {value!r} is not within {limits}")
    if (
        kind == "string"
        and "pattern" in limits
        and not re.fullmatch(limits["pattern"].replace(r"\p{L}\p{Z}\p{N}", r"\w\s"), value)
    ):
        found.append(f"{path} = {value!r} does not match {limits['pattern']}")
    if kind == "string" and shape.enum and value not in shape.enum:
        found.append(f"{path} = {value!r} is not one of {shape.enum}")
    return found


@pytest.fixture(scope="module")
def shape() -> Any:
    model = botocore.session.get_session().get_service_model("sagemaker")
    return model.operation_model("CreateLabelingJob").input_shape


def request(**changes: Any) -> dict[str, Any]:
    return labeling_job_request(plan_labeling_job(**(PLAIN | changes)))


def test_the_validator_of_this_file_finds_violations(shape: Any) -> None:
    broken = request() | {"LabelingJobName": "a b!"}
    broken["HumanTaskConfig"] |= {"NumberOfHumanWorkersPerDataObject": 10, "Colour": "red"}
    assert len(problems(shape, broken)) == 3


def test_a_request_for_a_private_team_equals_the_documented_one(shape: Any) -> None:
    made = request(max_labeled_percent=100)
    assert problems(shape, made) == []
    assert made == {
        "LabelingJobName": "cats-label-1",
        "LabelAttributeName": "cats-label-1-ref",
        "InputConfig": {"DataSource": {"S3DataSource": {"ManifestS3Uri": PLAIN["input_manifest"]}}},
        "OutputConfig": {"S3OutputPath": "s3://b/cats/labeling/"},
        "RoleArn": "arn:aws:iam::111122223333:role/GT",
        "LabelCategoryConfigS3Uri": PLAIN["label_file"],
        "StoppingConditions": {"MaxPercentageOfInputDatasetLabeled": 100},
        "HumanTaskConfig": {
            "WorkteamArn": TEAM,
            "UiConfig": {"UiTemplateS3Uri": PLAIN["template"]},
            "PreHumanTaskLambdaArn": "arn:aws:lambda:us-east-1:432418664414:function:PRE-SemanticSegmentation",
            "AnnotationConsolidationConfig": {
                "AnnotationConsolidationLambdaArn": (
                    "arn:aws:lambda:us-east-1:432418664414:function:ACS-SemanticSegmentation"
                )
            },
            "TaskKeywords": ["Images", "image segmentation"],
            "TaskTitle": "Semantic segmentation",
            "TaskDescription": "Mark every pixel",
            "NumberOfHumanWorkersPerDataObject": 3,
            "TaskTimeLimitInSeconds": 3600,
            "TaskAvailabilityLifetimeInSeconds": 864000,
            "MaxConcurrentTaskCount": 1000,
        },
    }


def test_a_request_for_the_public_crowd_has_price_and_classifiers(shape: Any) -> None:
    made = labeling_job_request(plan_labeling_job(**PUBLIC))
    assert problems(shape, made) == []
    assert made["InputConfig"]["DataAttributes"] == {"ContentClassifiers": [FREE_OF_PII]}
    price = made["HumanTaskConfig"]["PublicWorkforceTaskPrice"]
    assert price == {"AmountInUsd": {"Dollars": 1, "Cents": 8, "TenthFractionsOfACent": 0}}


def test_every_optional_setting_is_in_the_request(shape: Any) -> None:
    model = "arn:aws:sagemaker:us-east-1:111122223333:model/old"
    made = request(
        automated=True, objects=1250, initial_model_arn=model, volume_kms_key="alias/v", subnets=("subnet-1",),
        security_groups=("sg-1",), kms_key="alias/k", tags={"team": "vision"}, max_labeled_objects=900,
        content_classifiers=("FreeOfAdultContent",),
    )  # fmt: skip
    assert problems(shape, made) == []
    assert made["LabelingJobAlgorithmsConfig"] == {
        "LabelingJobAlgorithmSpecificationArn": (
            "arn:aws:sagemaker:us-east-1:027400017018:labeling-job-algorithm-specification/semantic-segmentation"
        ),
        "InitialActiveLearningModelArn": model,
        "LabelingJobResourceConfig": {
            "VolumeKmsKeyId": "alias/v",
            "VpcConfig": {"SecurityGroupIds": ["sg-1"], "Subnets": ["subnet-1"]},
        },
    }
    assert made["OutputConfig"]["KmsKeyId"] == "alias/k"
    assert made["Tags"] == [{"Key": "team", "Value": "vision"}]
    assert made["StoppingConditions"] == {"MaxHumanLabeledObjectCount": 900}


@given(
    name=st.from_regex(r"[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}", fullmatch=True).filter(lambda s: len(s) <= 63),
    region=st.sampled_from(sorted(LAMBDA_ACCOUNTS)),
    workers=st.integers(-1, 12),
    limit=st.integers(0, 40_000),
    lifetime=st.integers(0, 3_000_000),
    concurrent=st.integers(-1, 6000),
    percent=st.none() | st.integers(-1, 120),
    title=st.text(max_size=150),
    description=st.text(max_size=300),
    keywords=st.lists(st.text(max_size=35), max_size=7),
)
@settings(max_examples=300, deadline=None)
def test_every_accepted_request_fits_the_service_model(shape: Any, name: str, region: str, **values: Any) -> None:
    team = TEAM.replace("us-east-1", region)
    try:
        made = request(
            name=name, label_attribute=f"{name}-ref", region=region, workteam_arn=team,
            workers_per_object=values["workers"], task_time_limit=values["limit"], task_lifetime=values["lifetime"],
            max_concurrent_tasks=values["concurrent"], max_labeled_percent=values["percent"], title=values["title"],
            description=values["description"], keywords=tuple(values["keywords"]),
        )  # fmt: skip
    except SettingsError:
        return
    assert problems(shape, made) == []


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"label_attribute": "cats"}, "must end with '-ref'"),
        ({"label_attribute": "source-ref"}, "source-ref"),
        ({"name": "a b!"}, "name = 'a b!'"),
        ({"workers_per_object": 10}, "workers_per_object = 10"),
        ({"keywords": tuple("abcdef")}, "keywords"),
        ({"keywords": ("bad_keyword",)}, "bad_keyword"),
        ({"task_time_limit": 28_801}, "28800"),
        ({"description": "two\nlines"}, "description"),
        ({"objects": 20_001}, "20000"),
        ({"labels": 256}, "255"),
        ({"price_per_task": Decimal("0.84")}, "public crowd only"),
        ({"workforce": "vendor"}, "not a team of the vendor workforce"),
        ({"region": "eu-west-1"}, "must be in the job's region"),
        ({"automated": True, "objects": 1249}, "1,250 objects"),
        ({"automated": True, "objects": 2000, "labels": 21}, "at most 20 labels"),
        ({"subnets": ("subnet-1",)}, "automated labeling only"),
        ({"tags": {"k" * 129: "v"}}, "tags"),
        ({"tags": {"k": "v;w"}}, "v;w"),
    ],
)
def test_requests_that_aws_would_refuse_are_refused_by_name(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(SettingsError, match=re.escape(words)):
        plan_labeling_job(**(PLAIN | changes))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"price_per_task": Decimal("0.07")}, "0.84, 0.96, 1.08, 1.20"),
        ({"price_per_task": None}, "0.84, 0.96, 1.08, 1.20"),
        ({"content_classifiers": ()}, FREE_OF_PII),
        ({"content_classifiers": ("Nope",)}, "Nope"),
        ({"task_lifetime": 43_201}, "at most 12 h"),
    ],
)
def test_the_rules_of_the_public_crowd_are_checked(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(SettingsError, match=re.escape(words)):
        plan_labeling_job(**(PUBLIC | changes))


@pytest.mark.parametrize(
    ("price", "parts"), list(zip(PRICE_TIERS, [(0, 84, 0), (0, 96, 0), (1, 8, 0), (1, 20, 0)], strict=True))
)
def test_a_price_is_written_in_dollars_cents_and_tenths(price: Decimal, parts: tuple[int, int, int]) -> None:
    assert tuple(price_in_parts(price).values()) == parts
