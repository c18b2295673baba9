"""CreateLabelingJob's request as a pure function of plain values.

boto3 checks required keys, types and minimums only: patterns, maxima, enums, the -ref rule, price tiers and what belongs
to which workforce are checked here, before any call. Limits: the API's shapes and doc strings (botocore's service model),
the developer guide's input-data-limits and sms-create-labeling-job-api.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from gtseg.core.labeling.regions import automated_labeling_arn, lambda_arn
from gtseg.errors import SettingsError

ARN = r"arn:aws[a-z\-]*"
S3_URI = r"^s3://[^/]+/.+$"
HOUR, DAY = 3600, 86400
PRICE_TIERS = (Decimal("0.84"), Decimal("0.96"), Decimal("1.08"), Decimal("1.20"))
"""USD per worker and object that the public crowd may be paid for semantic segmentation."""
FREE_OF_PII, FREE_OF_ADULT = "FreeOfPersonallyIdentifiableInformation", "FreeOfAdultContent"
AUTOMATED_OBJECTS = 1250
"""Fewer objects cannot start automated labeling."""
AUTOMATED_LABELS = 20
Task = Literal["SemanticSegmentation", "AdjustmentSemanticSegmentation", "VerificationSemanticSegmentation"]
"""What workers do: draw masks, correct those of an earlier job, or judge them. Names of the built-in functions."""
MAX_OBJECTS = 20_000
"""Objects of one semantic segmentation job; AWS does not raise it."""

TITLE = "^[\t\n\r -\ud7ff\ue000-\ufffd]+$"
"""API reference, HumanTaskConfig.TaskTitle."""
Uri = Annotated[str, Field(pattern=S3_URI, max_length=1024)]
Kms = Annotated[str, Field(pattern=r"^[a-zA-Z0-9:/_-]*$", max_length=2048)]
TAG = r"^[\p{L}\p{Z}\p{N}_.:/=+\-@]*$"
TagKey = Annotated[str, Field(min_length=1, max_length=128, pattern=TAG)]
TagValue = Annotated[str, Field(max_length=256, pattern=TAG)]
Identifier = Annotated[str, Field(pattern=r"^[-0-9a-zA-Z]+$", max_length=32)]


class LabelingJob(BaseModel):
    """Everything that a labeling job is made from. `name` is typed case: AWS compares names without case."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[str, Field(pattern=r"^[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}$")]
    task: Task = "SemanticSegmentation"
    label_attribute: Annotated[str, Field(pattern=r"^[a-zA-Z0-9](-*[a-zA-Z0-9]){0,126}$")]
    region: str
    role_arn: Annotated[
        str,
        Field(pattern=rf"^{ARN}:iam::\d{{12}}:role/?[a-zA-Z_0-9+=,.@\-_/]+$", min_length=20, max_length=2048),
    ]
    input_manifest: Uri
    output: Annotated[str, Field(pattern=r"^s3://[^/]+/.*$", max_length=1024)]
    label_file: Uri
    template: Uri
    workforce: Literal["private", "vendor", "public"]
    workteam_arn: Annotated[
        str, Field(pattern=rf"^{ARN}:sagemaker:[a-z0-9\-]*:[0-9]{{12}}:workteam/.*$", max_length=256)
    ]
    objects: Annotated[int, Field(ge=1, le=MAX_OBJECTS)]
    labels: Annotated[int, Field(ge=1, le=255)]
    """How many labels there are; a mask is one byte and 0 is the background."""
    title: Annotated[str, Field(min_length=1, max_length=128, pattern=TITLE)]
    description: Annotated[str, Field(min_length=1, max_length=255, pattern=r"^[^\r\n]+$")]
    keywords: Annotated[
        tuple[Annotated[str, Field(pattern=r"^[A-Za-z0-9]+( [A-Za-z0-9]+)*$", max_length=30)], ...],
        Field(min_length=1, max_length=5),
    ]
    workers_per_object: Annotated[int, Field(ge=1, le=9)]
    task_time_limit: Annotated[int, Field(ge=30, le=8 * HOUR)]
    task_lifetime: Annotated[int, Field(ge=60, le=30 * DAY)]
    max_concurrent_tasks: Annotated[int, Field(ge=1, le=5000)]
    price_per_task: Decimal | None = None
    content_classifiers: tuple[
        Literal["FreeOfPersonallyIdentifiableInformation", "FreeOfAdultContent"], ...
    ] = ()
    max_labeled_objects: Annotated[int, Field(ge=1)] | None = None
    max_labeled_percent: Annotated[int, Field(ge=1, le=100)] | None = None
    kms_key: Kms | None = None
    automated: bool = False
    initial_model_arn: (
        Annotated[str, Field(pattern=rf"^{ARN}:sagemaker:[a-z0-9\-]*:[0-9]{{12}}:model/.*$", max_length=2048)]
        | None
    ) = None
    volume_kms_key: Kms | None = None
    subnets: Annotated[tuple[Identifier, ...], Field(max_length=16)] = ()
    security_groups: Annotated[tuple[Identifier, ...], Field(max_length=5)] = ()
    tags: Annotated[dict[TagKey, TagValue], Field(max_length=50)] = {}

    @model_validator(mode="after")
    def _be_possible(self) -> LabelingJob:
        if found := [*_name_problems(self), *_workforce_problems(self), *_automated_problems(self)]:
            raise ValueError("; ".join(found))
        return self


def plan_labeling_job(**values: Any) -> LabelingJob:
    """A checked LabelingJob. Raises SettingsError naming each value that AWS would refuse, and what it takes."""
    try:
        return LabelingJob(**values)
    except ValidationError as error:
        problems = []
        for problem in error.errors(include_url=False):
            name = ".".join(map(str, problem["loc"]))
            message = problem["msg"].removeprefix("Value error, ")
            problems.append(f"{name} = {problem['input']!r}: {message}" if name else message)
        raise SettingsError("The labeling job is not one that AWS takes: " + "; ".join(problems)) from None


def labeling_job_request(job: LabelingJob) -> dict[str, Any]:
    """The body of CreateLabelingJob."""
    request: dict[str, Any] = {
        "LabelingJobName": job.name,
        "LabelAttributeName": job.label_attribute,
        "InputConfig": {"DataSource": {"S3DataSource": {"ManifestS3Uri": job.input_manifest}}},
        "OutputConfig": {"S3OutputPath": job.output},
        "RoleArn": job.role_arn,
        "LabelCategoryConfigS3Uri": job.label_file,
        "HumanTaskConfig": _human_task(job),
    }
    if job.content_classifiers:
        request["InputConfig"]["DataAttributes"] = {"ContentClassifiers": list(job.content_classifiers)}
    if job.kms_key:
        request["OutputConfig"]["KmsKeyId"] = job.kms_key
    if stopping := _stopping(job):
        request["StoppingConditions"] = stopping
    if job.automated:
        request["LabelingJobAlgorithmsConfig"] = _algorithm(job)
    if job.tags:
        request["Tags"] = [{"Key": key, "Value": value} for key, value in sorted(job.tags.items())]
    return request


def _human_task(job: LabelingJob) -> dict[str, Any]:
    task: dict[str, Any] = {
        "WorkteamArn": job.workteam_arn,
        "UiConfig": {"UiTemplateS3Uri": job.template},
        "PreHumanTaskLambdaArn": lambda_arn(job.region, f"PRE-{job.task}"),
        "TaskKeywords": list(job.keywords),
        "TaskTitle": job.title,
        "TaskDescription": job.description,
        "NumberOfHumanWorkersPerDataObject": job.workers_per_object,
        "TaskTimeLimitInSeconds": job.task_time_limit,
        "TaskAvailabilityLifetimeInSeconds": job.task_lifetime,
        "MaxConcurrentTaskCount": job.max_concurrent_tasks,
        "AnnotationConsolidationConfig": {
            "AnnotationConsolidationLambdaArn": lambda_arn(job.region, f"ACS-{job.task}")
        },
    }
    if job.price_per_task is not None:
        task["PublicWorkforceTaskPrice"] = {"AmountInUsd": price_in_parts(job.price_per_task)}
    return task


def price_in_parts(price: Decimal) -> dict[str, int]:
    """USD as AWS writes it: 1.08 -> 1 dollar, 8 cents, 0 tenths of a cent."""
    tenths = int(price * 1000)
    return {"Dollars": tenths // 1000, "Cents": tenths % 1000 // 10, "TenthFractionsOfACent": tenths % 10}


def _stopping(job: LabelingJob) -> dict[str, int]:
    values = {
        "MaxHumanLabeledObjectCount": job.max_labeled_objects,
        "MaxPercentageOfInputDatasetLabeled": job.max_labeled_percent,
    }
    return {key: value for key, value in values.items() if value is not None}


def _algorithm(job: LabelingJob) -> dict[str, Any]:
    config: dict[str, Any] = {"LabelingJobAlgorithmSpecificationArn": automated_labeling_arn(job.region)}
    if job.initial_model_arn:
        config["InitialActiveLearningModelArn"] = job.initial_model_arn
    resources: dict[str, Any] = {}
    if job.volume_kms_key:
        resources["VolumeKmsKeyId"] = job.volume_kms_key
    if job.subnets:
        resources["VpcConfig"] = {"SecurityGroupIds": list(job.security_groups), "Subnets": list(job.subnets)}
    if resources:
        config["LabelingJobResourceConfig"] = resources
    return config


def _name_problems(job: LabelingJob) -> list[str]:
    attribute = job.label_attribute
    if job.task == "VerificationSemanticSegmentation":
        words = f"label_attribute = {attribute!r}: for label verification it must not end with '-ref'"
        return [words] if attribute.endswith("-ref") else []
    if not attribute.endswith("-ref") or attribute.lower() == "source-ref":
        return [
            f"label_attribute = {attribute!r}: for semantic segmentation it must end with '-ref' (and not be source-ref)"
        ]
    return []


def _workforce_problems(job: LabelingJob) -> list[str]:
    found = []
    if f"workteam/{job.workforce}-crowd/" not in job.workteam_arn:
        found.append(f"workteam_arn = {job.workteam_arn!r} is no team of the {job.workforce} workforce")
    if job.workteam_arn.split(":")[3] != job.region:
        found.append(f"workteam_arn = {job.workteam_arn!r} must be in the job's region, {job.region}")
    if job.workforce != "public":
        return found + (
            ["price_per_task is for the public crowd only"] if job.price_per_task is not None else []
        )
    if job.price_per_task not in PRICE_TIERS:
        found.append(
            f"price_per_task = {job.price_per_task}: the public crowd takes {', '.join(map(str, PRICE_TIERS))} USD"
        )
    if FREE_OF_PII not in job.content_classifiers:
        found.append(f"content_classifiers must hold {FREE_OF_PII} for the public crowd, or the job fails")
    if job.task_lifetime > 12 * HOUR:
        found.append(f"task_lifetime = {job.task_lifetime} s: at most 12 h for the public crowd")
    return found


def _automated_problems(job: LabelingJob) -> list[str]:
    extras = job.initial_model_arn or job.volume_kms_key or job.subnets or job.security_groups
    if not job.automated:
        return ["model, volume key and VPC are for automated labeling only"] if extras else []
    found = []
    if job.objects < AUTOMATED_OBJECTS:
        found.append(
            f"automated labeling needs {AUTOMATED_OBJECTS:,} objects (better 5,000); there are {job.objects:,}"
        )
    if job.labels > AUTOMATED_LABELS:
        found.append(f"automated labeling takes at most {AUTOMATED_LABELS} labels; there are {job.labels}")
    if bool(job.subnets) != bool(job.security_groups):
        found.append("subnets and security_groups come together")
    return found
