"""Request of CreateLabelingJob, built from plain values.

boto3 checks required keys, types and minimums only. Patterns, maxima, enums, the -ref rule, price tiers and the rules
of each workforce are checked here, before any call. Limits: the API's shapes and doc strings (botocore's service
model), the developer guide's input-data-limits and sms-create-labeling-job-api.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from gtseg.core.labeling.automated import find_automated_problems
from gtseg.core.labeling.regions import automated_labeling_arn, lambda_arn
from gtseg.core.limits import (
    AUTOMATED_LABELS,
    FREE_OF_PII,
    HOUR,
    LABELS,
    PRICES,
    TASK_LIFETIME,
    TASK_TIME,
    ConcurrentTasks,
    Description,
    Keywords,
    KmsKey,
    LabeledObjects,
    LabeledPercent,
    ModelArn,
    RoleArn,
    S3Uri,
    SecurityGroups,
    Subnets,
    WorkersPerObject,
    WorkteamArn,
)
from gtseg.errors import SettingsError

PRICE_TIERS = tuple(Decimal(price) for price in PRICES)
Task = Literal["SemanticSegmentation", "AdjustmentSemanticSegmentation", "VerificationSemanticSegmentation"]
"""Task of the workers: draw masks, adjust those of an earlier job, or verify them. Names of the built-in functions."""
MAX_OBJECTS = 20_000
"""Maximum objects of one semantic segmentation job; AWS does not raise it."""

TITLE = "^[\t\n\r -\ud7ff\ue000-\ufffd]+$"
"""API reference, HumanTaskConfig.TaskTitle."""
TAG = r"^[\p{L}\p{Z}\p{N}_.:/=+\-@]*$"
TagKey = Annotated[str, Field(min_length=1, max_length=128, pattern=TAG)]
TagValue = Annotated[str, Field(max_length=256, pattern=TAG)]


class LabelingJob(BaseModel):
    """Parameters of a labeling job. `name` keeps its case; AWS compares names without case."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[str, Field(pattern=r"^[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}$")]
    task: Task = "SemanticSegmentation"
    label_attribute: Annotated[str, Field(pattern=r"^[a-zA-Z0-9](-*[a-zA-Z0-9]){0,126}$")]
    region: str
    role_arn: RoleArn
    input_manifest: S3Uri
    output: Annotated[str, Field(pattern=r"^s3://[^/]+/.*$", max_length=1024)]
    label_file: S3Uri
    template: S3Uri
    workforce: Literal["private", "vendor", "public"]
    workteam_arn: WorkteamArn
    objects: Annotated[int, Field(ge=1, le=MAX_OBJECTS)]
    labels: Annotated[int, Field(ge=1, le=LABELS)]
    """Number of labels."""
    title: Annotated[str, Field(min_length=1, max_length=128, pattern=TITLE)]
    description: Description
    keywords: Keywords
    workers_per_object: WorkersPerObject
    task_time_limit: Annotated[int, TASK_TIME]
    task_lifetime: Annotated[int, TASK_LIFETIME]
    max_concurrent_tasks: ConcurrentTasks
    price_per_task: Decimal | None = None
    content_classifiers: tuple[Literal["FreeOfPersonallyIdentifiableInformation", "FreeOfAdultContent"], ...] = ()
    max_labeled_objects: LabeledObjects | None = None
    max_labeled_percent: LabeledPercent | None = None
    kms_key: KmsKey | None = None
    automated: bool = False
    initial_model_arn: ModelArn | None = None
    volume_kms_key: KmsKey | None = None
    subnets: Subnets = ()
    security_groups: SecurityGroups = ()
    tags: Annotated[dict[TagKey, TagValue], Field(max_length=50)] = {}

    @model_validator(mode="after")
    def _check_limits(self) -> LabelingJob:
        if found := [*_name_problems(self), *_workforce_problems(self), *_automated_problems(self)]:
            raise ValueError("; ".join(found))
        return self


def plan_labeling_job(**values: Any) -> LabelingJob:
    """Return a checked LabelingJob. Raises SettingsError with each value that AWS would reject, and what it accepts."""
    try:
        return LabelingJob(**values)
    except ValidationError as error:
        problems = []
        for problem in error.errors(include_url=False):
            name = ".".join(map(str, problem["loc"]))
            message = problem["msg"].removeprefix("Value error, ")
            problems.append(f"{name} = {problem['input']!r}: {message}" if name else message)
        raise SettingsError("AWS would reject the labeling job: " + "; ".join(problems)) from None


def labeling_job_request(job: LabelingJob) -> dict[str, Any]:
    """Return the request of CreateLabelingJob."""
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
    """Return USD in AWS's form: 1.08 is 1 dollar, 8 cents, 0 tenths of a cent."""
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
            f"label_attribute = {attribute!r}: for semantic segmentation it must end with '-ref' (and not be "
            "source-ref)"
        ]
    return []


def _workforce_problems(job: LabelingJob) -> list[str]:
    found = []
    if f"workteam/{job.workforce}-crowd/" not in job.workteam_arn:
        found.append(f"workteam_arn = {job.workteam_arn!r} is not a team of the {job.workforce} workforce")
    if job.workteam_arn.split(":")[3] != job.region:
        found.append(f"workteam_arn = {job.workteam_arn!r} must be in the job's region, {job.region}")
    if job.workforce != "public":
        return found + (["price_per_task is for the public crowd only"] if job.price_per_task is not None else [])
    if job.price_per_task not in PRICE_TIERS:
        found.append(
            f"price_per_task = {job.price_per_task}: the public crowd accepts {', '.join(map(str, PRICE_TIERS))} USD"
        )
    if FREE_OF_PII not in job.content_classifiers:
        found.append(f"content_classifiers must include {FREE_OF_PII} for the public crowd, or the job fails")
    if job.task_lifetime > 12 * HOUR:
        found.append(f"task_lifetime = {job.task_lifetime} s: at most 12 h for the public crowd")
    return found


def _automated_problems(job: LabelingJob) -> list[str]:
    extras = job.initial_model_arn or job.volume_kms_key or job.subnets or job.security_groups
    if not job.automated:
        return ["model, volume key and VPC are for automated labeling only"] if extras else []
    found = find_automated_problems(
        job.objects, max_labeled_objects=job.max_labeled_objects, max_labeled_percent=job.max_labeled_percent
    )
    if job.labels > AUTOMATED_LABELS:
        found.append(f"automated labeling accepts at most {AUTOMATED_LABELS} labels; there are {job.labels}")
    if bool(job.subnets) != bool(job.security_groups):
        found.append("subnets and security_groups must be given together")
    return found
