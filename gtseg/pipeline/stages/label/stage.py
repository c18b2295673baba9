"""label: one labeling job per run, created once."""

from __future__ import annotations

from typing import Any

from gtseg.aws.clients import Clients
from gtseg.aws.groundtruth import GroundTruth
from gtseg.aws.s3 import S3, split_uri
from gtseg.core.counting import counted
from gtseg.core.labeling.regions import lambda_arn
from gtseg.errors import GtsegError, SettingsError
from gtseg.pipeline.run import (
    FINGERPRINT_TAG,
    Creation,
    Found,
    LabelingJobSection,
    Run,
    RunFile,
    create_once,
    next_name,
    standing,
)
from gtseg.pipeline.run.events import Consent, Event, Notify
from gtseg.pipeline.stages.label.buckets import ensure_run_bucket, open_to_workers, plan_cors
from gtseg.pipeline.stages.label.images import Gathered, gather_images
from gtseg.pipeline.stages.label.job import Job, make_job
from gtseg.pipeline.stages.label.reports import report_images
from gtseg.pipeline.stages.label.workteams import choose_workteam
from gtseg.settings import Settings


def label(
    run: Run,
    settings: Settings,
    clients: Clients,
    *,
    notify: Notify,
    consent: Consent | None = None,
    dry_run: bool = False,
) -> Run:
    """The run with its labeling job: created now, adopted, or standing already.

    Raises SettingsError for what AWS would refuse, ManifestError where no image is left, StageError when the run has a live
    job made from other settings. With `dry_run` nothing is written; a `plan` event holds the request.
    """
    consent = consent or Consent()
    if run.labeling_job and run.labeling_job.follows:
        words = f"{run.labeling_job.name} goes on from {run.labeling_job.follows}: nothing to do. More: `gtseg label --continue`"
        notify(Event("label", "note", words))
        return run
    _check(settings, clients, consent, notify=notify)
    team = choose_workteam(settings, clients)
    gathered = gather_images(run, settings, clients, notify=notify)
    report_images(gathered, settings, notify=notify)
    job = make_job(run, settings, gathered, account=clients.account, team=team)
    creation = _creation(job, clients)
    found = standing(run, creation)
    if dry_run:
        _show_plan(job, creation, clients, notify=notify)
        return run
    if found:
        notify(
            Event(
                "label",
                "note",
                f"{found.arn.rpartition('/')[2]} is there already ({found.status}): nothing to do",
            )
        )
        if run.labeling_job and run.labeling_job.arn == found.arn:
            return run
    else:
        _prepare(run, job, clients, consent=consent, notify=notify)
    run, attempt, arn = create_once(RunFile(clients, run.root), run, creation)
    notify(
        Event(
            "label",
            "finished",
            f"{attempt.name} labels {counted(job.objects, 'image')}",
            fields={"arn": arn},
        )
    )
    return run.update(labeling_job=_section(job, name=attempt.name, arn=arn))


def _check(settings: Settings, clients: Clients, consent: Consent, *, notify: Notify) -> None:
    """What is refused before anything is read."""
    lambda_arn(clients.region, "PRE-SemanticSegmentation")
    if not settings.labeling.labels:
        raise SettingsError(
            '[labeling] labels is empty: name what is to be found, like labels = ["cat", "dog"]'
        )
    if settings.labeling.workforce != "public":
        return
    words = (
        "Mechanical Turk, the public crowd behind Ground Truth, closed on 30 September 2026: "
        "AWS will most likely refuse this job, and nobody would work on it"
    )
    if not consent.public_crowd:
        raise SettingsError(
            f'{words}. Use workforce = "private" or "vendor", or insist with --allow-public-crowd.'
        )
    notify(Event("label", "warning", words))


def _creation(job: Job, clients: Clients) -> Creation:
    truth, mark = GroundTruth(clients), job.fingerprint

    def create(name: str) -> str:
        for uri, body in job.files(name).items():
            S3(clients).write(uri, body)
        return truth.create_job(job.request(name, mark=mark))

    def find(name: str) -> Found | None:
        state = truth.find_job(name)
        return (
            Found(state.arn, state.status, state.tags.get(FINGERPRINT_TAG), state.reason) if state else None
        )

    return Creation("label", mark, create, find)


def _prepare(run: Run, job: Job, clients: Clients, *, consent: Consent, notify: Notify) -> None:
    """Consent first; then the bucket, the images and the CORS rule, each of which may be done again without harm."""
    words = job.cost.sentence()
    notify(Event("label", "note", f"cost: {words}" + (" on AWS; nothing here" if clients.is_local else "")))
    consent.weigh("label", run, job.objects)
    if not consent.spend(f"Start labeling {counted(job.objects, 'image')} for {words}?"):
        raise GtsegError("Nothing was started.")
    ensure_run_bucket(run, job.settings, clients, consent=consent, notify=notify)
    upload_images(job.gathered, clients, notify=notify)
    open_to_workers(job.gathered.buckets, clients, notify=notify)


def upload_images(gathered: Gathered, clients: Clients, *, notify: Notify) -> None:
    if gathered.folder is None:
        return
    total, sent = len(gathered.files), []

    def count(uploaded: Any) -> None:
        sent.append(uploaded.sent)
        notify(Event("label", "progress", f"uploading to {gathered.target}", done=len(sent), total=total))

    S3(clients).upload_folder(gathered.folder, gathered.target, files=gathered.files, progress=count)
    notify(
        Event(
            "label",
            "note",
            f"{counted(sum(sent), 'image')} uploaded to {gathered.target}, {total - sum(sent):,} were there",
        )
    )


def _section(job: Job, *, name: str, arn: str) -> LabelingJobSection:
    plan = job.plan(name)
    return LabelingJobSection(
        name=name,
        arn=arn,
        label_attribute=plan.label_attribute,
        workforce=plan.workforce,
        objects=plan.objects,
        estimated_cost=float(job.cost.total),
        input_manifest=plan.input_manifest,
        images=f"{job.folder(name)}images.jsonl",
        rejected=len(job.gathered.manifest.rejected),
        made_from=job.made_from(name),
    )


def _show_plan(job: Job, creation: Creation, clients: Clients, *, notify: Notify) -> None:
    name = next_name(job.run, creation)
    bucket = split_uri(job.run.root)[0]
    fields = {
        "request": job.request(name, mark=creation.fingerprint),
        "writes": {
            uri: len(body) for uri, body in [*job.files(name).items(), (f"{job.run.root}run.json", b"")]
        },
        "uploads": {"files": len(job.gathered.files), "to": job.gathered.target}
        if job.gathered.folder
        else None,
        "creates_bucket": None if S3(clients).bucket_exists(bucket) else bucket,
        "adds_cors_to": plan_cors(job.gathered.buckets, clients, notify=notify),
        "cost": job.cost.sentence(),
    }
    notify(Event("label", "plan", f"would create labeling job {name}; nothing was touched", fields=fields))
