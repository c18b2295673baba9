"""CreateLabelingJob, DescribeLabelingJob, ListLabelingJobs, ListLabelingJobsForWorkteam, StopLabelingJob."""

from __future__ import annotations

import json
import secrets
import shutil
import sqlite3
from collections.abc import Callable
from typing import Any

from gtseg.local.clock import read_clock
from gtseg.local.embedded import Embedded
from gtseg.local.errors import ServiceError
from gtseg.local.front.protocol import JsonService
from gtseg.local.jobs.pagination import Place, read_paging
from gtseg.local.jobs.tags import put_tags, tags_of
from gtseg.local.labeling.automated.records import count_machine, find_final_model
from gtseg.local.labeling.automated.requests import check_automated
from gtseg.local.labeling.counts import count_left, count_states
from gtseg.local.labeling.input_objects import store_manifest
from gtseg.local.labeling.records import ACTIVE, Job, find_job, make_job, set_status, to_datetime
from gtseg.local.labeling.rules import check_request, read_labels, read_template, refuse
from gtseg.local.labeling.wakeup import wake_engine
from gtseg.local.storage.objects import split_uri
from gtseg.local.storage.store import Store

ECHOED = (
    "LabelAttributeName",
    "InputConfig",
    "OutputConfig",
    "RoleArn",
    "LabelCategoryConfigS3Uri",
    "StoppingConditions",
    "HumanTaskConfig",
    "LabelingJobAlgorithmsConfig",
)
MAX_ACTIVE = 100
PAGE = 100


def register_jobs(service: JsonService, embedded: Embedded) -> None:
    """Register the labeling job operations."""
    store = embedded.store

    @service.operation("CreateLabelingJob")
    def create(request: dict[str, Any]) -> dict[str, Any]:
        return {"LabelingJobArn": create_job(embedded, request)}

    @service.operation("DescribeLabelingJob")
    def describe(request: dict[str, Any]) -> dict[str, Any]:
        return describe_job(store, find_job(store, request["LabelingJobName"]))

    @service.operation("ListLabelingJobs")
    def list_jobs(request: dict[str, Any]) -> dict[str, Any]:
        order = ORDERS[request.get("SortBy", "CreationTime")]
        page, token = read_paging(request, size=PAGE).select(select_jobs(store, request), order)
        return {"LabelingJobSummaryList": [summarize_job(store, job) for job in page], "NextToken": token}

    @service.operation("ListLabelingJobsForWorkteam")
    def list_for_team(request: dict[str, Any]) -> dict[str, Any]:
        jobs = select_team_jobs(store, request)
        page, token = read_paging(request, size=PAGE).select(jobs, ORDERS["CreationTime"])
        return {
            "LabelingJobSummaryList": [summarize_for_team(store, job) for job in page],
            "NextToken": token,
        }

    @service.operation("StopLabelingJob")
    def stop(request: dict[str, Any]) -> None:
        stop_job(store, request["LabelingJobName"])


def create_job(embedded: Embedded, request: dict[str, Any]) -> str:
    """Validate the request, store the manifest and the job, and return the job's ARN."""
    store, objects = embedded.store, embedded.objects
    check_request(request, store)
    labels = read_labels(objects, request["LabelCategoryConfigS3Uri"])
    template = read_template(objects, request["HumanTaskConfig"]["UiConfig"]["UiTemplateS3Uri"])
    bucket, _ = split_uri(request["OutputConfig"]["S3OutputPath"])
    if not objects.bucket_exists(bucket):
        raise refuse(f"OutputConfig.S3OutputPath: the bucket {bucket} does not exist.")
    title, now = request["LabelingJobName"], read_clock()
    check_unused(store, title)
    reference = secrets.token_hex(12)
    folder = store.folder / "labeling" / reference
    store_manifest(objects, request["InputConfig"]["DataSource"]["S3DataSource"]["ManifestS3Uri"], folder)
    try:
        check_automated(embedded, request, labels, folder / "input.manifest")
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    arn = f"arn:aws:sagemaker:{store.region}:{store.account}:labeling-job/{title.lower()}"
    row = (
        title.lower(),
        title,
        arn,
        request["HumanTaskConfig"]["WorkteamArn"],
        "Initializing",
        "",
        now,
        now,
        reference,
    )
    try:
        with store.write() as connection:
            insert_job(connection, (*row, json.dumps(request), json.dumps(labels), template))
            put_tags(store, arn, request.get("Tags"))
    except BaseException as error:
        shutil.rmtree(folder, ignore_errors=True)
        if isinstance(error, sqlite3.IntegrityError):
            raise in_use(title) from None
        raise
    wake_engine(store)
    return arn


def insert_job(connection: sqlite3.Connection, row: tuple[Any, ...]) -> None:
    active = connection.execute(f"SELECT count(*) FROM labeling_jobs WHERE status IN {ACTIVE}").fetchone()[0]
    if active >= MAX_ACTIVE:
        raise ServiceError(
            "ResourceLimitExceeded", f"{active} labeling jobs are in progress; the limit is {MAX_ACTIVE}."
        )
    connection.execute(
        "INSERT INTO labeling_jobs (name, title, arn, team_arn, status, failure, created, modified, reference, "
        "request, "
        "labels, template) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        row,
    )


def check_unused(store: Store, title: str) -> None:
    if store.read().execute("SELECT 1 FROM labeling_jobs WHERE name = ?", (title.lower(),)).fetchone():
        raise in_use(title)


def in_use(title: str) -> ServiceError:
    return ServiceError(
        "ResourceInUse",
        f"A labeling job with the name {title!r} already exists in this account and region; names are not "
        f"case-sensitive.",
    )


def stop_job(store: Store, title: str) -> None:
    """Set the job's status to Stopping; the engine stops it. Raises ServiceError if the job has ended."""
    job = find_job(store, title)
    with store.write() as connection:
        status = connection.execute("SELECT status FROM labeling_jobs WHERE name = ?", (job.name,)).fetchone()["status"]
        if status == "Stopping":
            return
        if status not in ACTIVE:
            raise refuse(f"The request was rejected because the labeling job is in status {status}.")
        set_status(connection, job.name, "Stopping")
    wake_engine(store)


# --- responses ---


def counters(store: Store, job: Job) -> dict[str, int]:
    states, machine = count_states(store, job.name), count_machine(store, job.name)
    return {
        "TotalLabeled": states["labeled"],
        "HumanLabeled": states["labeled"] - machine,
        "MachineLabeled": machine,
        "FailedNonRetryableError": states["failed"],
        "Unlabeled": count_left(states),
    }


def job_output(store: Store, job: Job) -> dict[str, str | None]:
    bucket, _ = job.output
    return {
        "OutputDatasetS3Uri": f"s3://{bucket}/{job.manifest_key}",
        "FinalActiveLearningModelArn": find_final_model(store, job.name),
    }


def describe_job(store: Store, job: Job) -> dict[str, Any]:
    """Return the DescribeLabelingJob response."""
    return {
        **{name: job.request.get(name) for name in ECHOED},
        "LabelingJobStatus": job.status,
        "LabelCounters": counters(store, job),
        "FailureReason": job.failure or None,
        "CreationTime": to_datetime(job.created),
        "LastModifiedTime": to_datetime(job.modified),
        "JobReferenceCode": job.reference,
        "LabelingJobName": job.title,
        "LabelingJobArn": job.arn,
        "Tags": tags_of(store, job.arn),
        "LabelingJobOutput": job_output(store, job),
    }


def summarize_job(store: Store, job: Job) -> dict[str, Any]:
    return {
        "LabelingJobName": job.title,
        "LabelingJobArn": job.arn,
        "CreationTime": to_datetime(job.created),
        "LastModifiedTime": to_datetime(job.modified),
        "LabelingJobStatus": job.status,
        "LabelCounters": counters(store, job),
        "WorkteamArn": job.team_arn,
        "PreHumanTaskLambdaArn": job.human["PreHumanTaskLambdaArn"],
        "AnnotationConsolidationLambdaArn": job.human["AnnotationConsolidationConfig"][
            "AnnotationConsolidationLambdaArn"
        ],
        "FailureReason": job.failure or None,
        "LabelingJobOutput": job_output(store, job),
        "InputConfig": job.request["InputConfig"],
    }


def summarize_for_team(store: Store, job: Job) -> dict[str, Any]:
    states = count_states(store, job.name)
    return {
        "LabelingJobName": job.title,
        "JobReferenceCode": job.reference,
        "WorkRequesterAccountId": store.account,
        "CreationTime": to_datetime(job.created),
        "LabelCounters": {
            "HumanLabeled": states["labeled"] - count_machine(store, job.name),
            "PendingHuman": count_left(states),
            "Total": sum(states.values()) - states["skipped"],
        },
        "NumberOfHumanWorkersPerDataObject": job.workers,
    }


# --- lists ---

ORDERS: dict[str, Callable[[Job], Place]] = {
    "Name": lambda job: (job.name,),
    "CreationTime": lambda job: (job.created, job.name),
    "Status": lambda job: (job.status, job.name),
}


def select_jobs(store: Store, request: dict[str, Any]) -> list[Job]:
    """Return the jobs that match a ListLabelingJobs request, unsorted."""
    return [job for job in read_jobs(store) if matches(job, request)]


def select_team_jobs(store: Store, request: dict[str, Any]) -> list[Job]:
    """Return the jobs that match a ListLabelingJobsForWorkteam request. Raises ServiceError ResourceNotFound."""
    arn, part = request["WorkteamArn"], request.get("JobReferenceCodeContains", "")
    if (
        ":workteam/public-crowd/" not in arn
        and not store.read().execute("SELECT 1 FROM labeling_teams WHERE arn = ?", (arn,)).fetchone()
    ):
        raise ServiceError("ResourceNotFound", f"The workteam {arn} does not exist.")
    return [job for job in read_jobs(store) if job.team_arn == arn and part in job.reference and matches(job, request)]


def read_jobs(store: Store) -> list[Job]:
    return [make_job(row) for row in store.read().execute("SELECT * FROM labeling_jobs")]


def matches(job: Job, request: dict[str, Any]) -> bool:
    """Return whether a job matches the filters of a list request."""
    created, modified = to_datetime(job.created), to_datetime(job.modified)
    return all(
        (
            "CreationTimeAfter" not in request or created > request["CreationTimeAfter"],
            "CreationTimeBefore" not in request or created < request["CreationTimeBefore"],
            "LastModifiedTimeAfter" not in request or modified > request["LastModifiedTimeAfter"],
            "LastModifiedTimeBefore" not in request or modified < request["LastModifiedTimeBefore"],
            request.get("NameContains", "").lower() in job.name,
            request.get("StatusEquals", job.status) == job.status,
        )
    )
