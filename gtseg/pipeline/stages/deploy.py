"""deploy: a trained model -> an endpoint that answers, created once."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from gtseg.aws.clients import Clients
from gtseg.aws.hosting import SETTLED, Hosting, Kind, Resource
from gtseg.aws.s3 import S3, is_s3_uri
from gtseg.aws.training import Training, image_uri_of_sdk
from gtseg.aws.waiting import poll
from gtseg.core.hosting import requests
from gtseg.core.training.image_uris import image_uri
from gtseg.errors import GtsegError, Interrupted, JobFailed, StageError, reason_given
from gtseg.pipeline.run import (
    FINGERPRINT_TAG,
    Creation,
    EndpointSection,
    Found,
    Run,
    RunFile,
    create_once,
    fingerprint,
    lineage_tags,
    next_name,
    provenance,
    standing,
)
from gtseg.pipeline.run.events import Consent, Event, Notify
from gtseg.pipeline.run.resuming import how_to_resume
from gtseg.settings import Settings

STAND_IN = "stand-in"
PATIENCE = 45 * 60.0
"""Seconds; AWS gives up on an endpoint's machines well before."""
WAY_OUT = "Put the settings back, or delete what is deployed first: `gtseg cleanup`, then `gtseg deploy`."
ROOT_TAG, RUN_TAG, EXPIRES_TAG = "gtseg:root", "gtseg:run", "gtseg:expires"


def deploy(
    run: Run,
    settings: Settings,
    clients: Clients,
    *,
    notify: Notify,
    consent: Consent | None = None,
    job: str | None = None,
    model: str | None = None,
    dry_run: bool = False,
    sleep: Callable[[float], None] = time.sleep,
) -> Run:
    """The run with its endpoint in service, of its own training job, of training job `job`, or of any `model` (model.tar.gz).

    Raises StageError before there is a model, JobFailed for an endpoint that Failed (the run is saved first), Interrupted on
    Ctrl-C: the endpoint comes up by itself. With `dry_run` nothing is written; a `plan` event holds the three requests.
    """
    plan, training_job = _plan(run, settings, clients, job=job, model=model)
    maker = _Maker(run, plan, settings, clients, training_job=training_job)
    if dry_run:
        notify(
            Event(
                "deploy",
                "plan",
                f"would create {next_name(run, maker.creation('model'))} and its endpoint",
                fields=maker.plan(),
            )
        )
        return run
    words = f"Keep {plan.instance_count} x {plan.instance_type} running until `gtseg cleanup`?"
    consent = consent or Consent()
    if not _stands(run):
        consent.weigh("deploy", run, None)
        if not consent.spend(words):
            raise GtsegError("Nothing was started.")
    run = maker.make(notify=notify)
    return _wait(run, clients, notify=notify, sleep=sleep)


def _stands(run: Run) -> bool:
    return run.endpoint is not None and run.endpoint.deleted is None


def _plan(
    run: Run, settings: Settings, clients: Clients, *, job: str | None, model: str | None
) -> tuple[requests.Hosting, str | None]:
    """What to host, and the training job that it comes from (None for a foreign model)."""
    wanted = settings.deploy
    data, training_job, image = _model(run, settings, clients, job=job, model=model)
    plan = requests.Hosting(
        role_arn=settings.project.role_arn or f"arn:aws:iam::{clients.account}:role/gtseg",
        image_uri=wanted.image_uri or image or image_uri_of_sdk(clients.region) or image_uri(clients.region),
        model_data=data,
        environment=wanted.environment,
        instance_type=wanted.instance_type,
        instance_count=wanted.instance_count,
        kms_key=wanted.kms_key,
        subnets=wanted.subnets,
        security_groups=wanted.security_groups,
        network_isolation=wanted.network_isolation,
        tags=wanted.tags | {RUN_TAG: run.name, ROOT_TAG: run.root},
    )
    return plan, training_job


def _model(
    run: Run, settings: Settings, clients: Clients, *, job: str | None, model: str | None
) -> tuple[str, str | None, str]:
    """(model.tar.gz, training job, its image)."""
    foreign = model or (None if job else settings.deploy.model_data)
    if foreign:
        if not is_s3_uri(foreign) or not S3(clients).exists(foreign):
            raise StageError(f"There is no model at {foreign}: name an s3:// address of a model.tar.gz")
        return foreign, None, ""
    if job:
        state = Training(clients).find_job(job)
        if state is None or not state.model_artifact:
            raise StageError(f"There is no training job {job!r} with a model in {clients.region}")
        return state.model_artifact, job, state.image_uri
    section = run.training_job
    if section is None or not section.model_artifact:
        raise StageError(f"Run {run.name!r} has no trained model to deploy. Train one: `gtseg train`.")
    return section.model_artifact, section.name, section.image_uri


class _Maker:
    """Model, endpoint config and endpoint, each made once; the later two know the names of the earlier."""

    def __init__(
        self,
        run: Run,
        plan: requests.Hosting,
        settings: Settings,
        clients: Clients,
        *,
        training_job: str | None,
    ) -> None:
        self.run, self.plan_, self.settings, self.clients = run, plan, settings, clients
        self.training_job = training_job
        self.hosting, self.run_file = Hosting(clients), RunFile(clients, run.root)
        self.names: dict[str, str] = {}

    def creation(self, kind: Kind) -> Creation:
        stage = {"model": "model", "endpoint-config": "config", "endpoint": "endpoint"}[kind]
        mark = fingerprint(self._request(kind, STAND_IN, {}) | {"ttl": self.settings.deploy.time_to_live})

        def find(name: str) -> Found | None:
            found = self.hosting.find(kind, name)
            if found is None:
                return None
            status = "Failed" if found.status in {"Failed", "OutOfService", "Deleting"} else found.status
            return Found(found.arn, status, found.tags.get(FINGERPRINT_TAG), found.reason)

        def create(name: str) -> str:
            return self.hosting.create(
                kind, self._request(kind, name, {FINGERPRINT_TAG: mark} | self._passing_tags())
            )

        return Creation(stage, mark, create, find, way_out=WAY_OUT)

    def make(self, *, notify: Notify) -> Run:
        run = self.run
        arn, already = "", False
        for kind in ("model", "endpoint-config", "endpoint"):
            creation = self.creation(kind)
            already = kind == "endpoint" and standing(run, creation) is not None
            run, attempt, arn = create_once(self.run_file, run, creation)
            self.names[kind] = attempt.name
        found = self.hosting.find("endpoint", self.names["endpoint"])
        section = self._section(arn, found)
        run = self.run_file.save(run.update(endpoint=section))
        words = "is there already" if already else "is coming up"
        notify(
            Event(
                "deploy",
                "note",
                f"{section.name} {words} on {section.instance_count} x {section.instance_type}",
                fields={"arn": arn},
            )
        )
        return run

    def plan(self) -> dict[str, Any]:
        kinds: tuple[Kind, ...] = ("model", "endpoint-config", "endpoint")
        for kind in kinds:
            self.names[kind] = next_name(self.run, self.creation(kind))
        return {kind: self._request(kind, self.names[kind], self._passing_tags()) for kind in kinds}

    def _request(self, kind: Kind, name: str, tags: Mapping[str, str]) -> dict[str, Any]:
        plan = replace(self.plan_, tags=dict(self.plan_.tags) | dict(tags))
        if kind == "model":
            return requests.model_request(name, plan)
        if kind == "endpoint-config":
            return requests.endpoint_config_request(name, self.names.get("model", STAND_IN), plan)
        return requests.endpoint_request(name, self.names.get("endpoint-config", STAND_IN), plan)

    def _passing_tags(self) -> dict[str, str]:
        """Tags that are no part of the fingerprint: where the model comes from, and when the endpoint may go."""
        lineage = lineage_tags(self.run.root, training_job=self.training_job, dataset=self._dataset)
        return lineage | self._expiry()

    @property
    def _dataset(self) -> str | None:
        """The fingerprint of the dataset that the model learned from; None for a model that is not the run's own."""
        job = self.run.training_job
        if job is None or job.name != self.training_job or job.made_from is None:
            return None
        return job.made_from.sources.get("dataset")

    def _expiry(self) -> dict[str, str]:
        """The tag that `serve` and `cleanup --expired` go by; not part of the fingerprint, because time goes on."""
        seconds = self.settings.deploy.time_to_live
        if seconds is None:
            return {}
        return {EXPIRES_TAG: (self.run_file.clock() + timedelta(seconds=seconds)).isoformat()}

    def _section(self, arn: str, found: Resource | None) -> EndpointSection:
        expires = found.tags.get(EXPIRES_TAG) if found else None
        wanted = self.settings.deploy
        return EndpointSection(
            name=self.names["endpoint"],
            arn=arn,
            config=self.names["endpoint-config"],
            model=self.names["model"],
            model_data=self.plan_.model_data,
            image_uri=self.plan_.image_uri,
            instance_type=wanted.instance_type,
            instance_count=wanted.instance_count,
            content_type=wanted.content_type,
            accept=wanted.accept,
            training_job=self.training_job,
            status=found.status if found else None,
            since=found.created if found else None,
            expires=datetime.fromisoformat(expires) if expires else None,
            made_from=provenance(
                self.settings,
                "deploy",
                model_data=self.plan_.model_data,
                training_job=self.training_job,
                dataset=self._dataset,
            ),
        )


def _wait(run: Run, clients: Clients, *, notify: Notify, sleep: Callable[[float], None]) -> Run:
    assert run.endpoint is not None
    name, hosting = run.endpoint.name, Hosting(clients, sleep=sleep)
    delete = ", or delete it: `gtseg cleanup`"
    resume = how_to_resume(name, clients, command="gtseg deploy", verb="comes up", otherwise=delete)

    def look() -> Resource:
        found = hosting.describe("endpoint", name)
        notify(Event("deploy", "progress", f"{name} {found.status}"))
        return found

    try:
        found = poll(look, until=lambda e: e.status in SETTLED, patience=PATIENCE, resume=resume, sleep=sleep)
    except KeyboardInterrupt:
        raise Interrupted(f"Stopped waiting. {resume}") from None
    ready = run.endpoint.ready or (
        RunFile(clients, run.root).clock() if found.status == "InService" else None
    )
    section = run.endpoint.model_copy(update={"status": found.status, "ready": ready})
    run = run.update(endpoint=section)
    if found.status != "InService":
        RunFile(clients, run.root).save(run)
        raise JobFailed(
            f"{name} is {found.status}: {reason_given(found.reason)}. Cure that, then `gtseg deploy` starts a new attempt."
        )
    notify(Event("deploy", "finished", f"{name} is in service", fields=section.model_dump(mode="json")))
    return run
