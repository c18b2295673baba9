"""deploy: create an endpoint for a trained model, exactly once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from gtseg.aws.hosting import SETTLED, Kind
from gtseg.aws.hosting import Resource as Hosted
from gtseg.aws.s3 import split_uri
from gtseg.core.hosting import requests
from gtseg.errors import JobFailed, reason_given
from gtseg.pipeline.run import (
    EXPIRES_TAG,
    FINGERPRINT_TAG,
    STAND_IN,
    Context,
    EndpointSection,
    Run,
    begin,
    next_name,
    provenance,
)
from gtseg.pipeline.run.drift import check_endpoint
from gtseg.pipeline.run.events import ignore
from gtseg.pipeline.run.freshness import MODEL, model_of
from gtseg.pipeline.run.hosted_model import HostedModel, plan_hosting
from gtseg.pipeline.run.pending_jobs import follow, how_to_resume
from gtseg.pipeline.run.regions import check_regions

MAX_WAIT_SECONDS = 45 * 60.0
"""Seconds; longer than AWS's own limit for starting an endpoint's instances."""


def deploy(run: Run, context: Context, *, job: str | None = None, model: str | None = None) -> Run:
    """Return the run with its endpoint in service, for its own training job, training job `job`, or any `model`
    (model.tar.gz).

    Raises StageError before there is a model, JobFailed for an endpoint that Failed (the run is saved first),
    Interrupted on Ctrl-C, which does not stop the creation. With `dry_run` nothing is written; a `plan` event holds the
    three requests.
    """
    context = context.of("deploy")
    plan, training_job = plan_hosting(run, context, job=job, model=model)
    check_regions([split_uri(plan.model_data)[0]], context, what="endpoint")
    hosted = HostedModel(run, context, plan, training_job)
    if context.dry_run:
        return _show_plan(run, hosted)
    run = check_endpoint(run, context)
    words = f"Keep {plan.instance_count} x {plan.instance_type} running until `gtseg cleanup`?"
    if run.endpoint is None or run.endpoint.deleted or run.endpoint.status == "Changed":
        context.agree(run, words)
    elif _is_another(run.endpoint, plan):
        context.agree(
            run, f"Replace endpoint {run.endpoint.name}, which is deleted when the new one is in service. {words}"
        )
    run, endpoint = _begin_parts(run, hosted)
    before, run = run.endpoint, begin(run, context, endpoint)
    section = run.endpoint
    if section and (before is None or section.name != before.name):
        words = f"{section.name} is being created on {section.instance_count} x {section.instance_type}"
        context.note(words, {"arn": section.arn})
    run = _wait(run, context)
    _retire(run, context)
    return run


def _is_another(section: EndpointSection, plan: requests.Hosting) -> bool:
    """Return whether the current endpoint differs from the requested one."""
    stands = section.model_data, section.image_uri, section.instance_type, section.instance_count
    return stands != (plan.model_data, plan.image_uri, plan.instance_type, plan.instance_count)


def _retire(run: Run, context: Context) -> None:
    """Delete the endpoints of this run's earlier attempts, their configs and models, after a new one is in service."""
    kinds: tuple[tuple[Kind, str], ...] = (
        ("endpoint", "endpoint"),
        ("endpoint-config", "config"),
        ("model", "model"),
    )
    for kind, stage in kinds:
        for attempt in run.attempts_of(stage)[:-1]:
            there = context.hosting.find(kind, attempt.name)
            if there is None or there.tags.get(FINGERPRINT_TAG) != attempt.fingerprint:
                continue
            if kind == "endpoint" and there.status not in SETTLED:
                context.warn(
                    f"{attempt.name} is {there.status} and is kept: `gtseg cleanup --orphans` deletes it later"
                )
            elif there.status != "Deleting" and context.hosting.delete(kind, attempt.name):
                context.note(
                    f"deleted {kind.replace('-', ' ')} {attempt.name}: replaced by {run.attempts_of(stage)[-1].name}"
                )


@dataclass(frozen=True)
class EndpointConfig(HostedModel):
    stage, what = "config", "endpoint config"
    kind: Kind = "endpoint-config"

    def request(self, name: str, tags: Mapping[str, str]) -> dict[str, Any]:
        return requests.endpoint_config_request(name, self.model, self._tagged(tags))


@dataclass(frozen=True)
class Endpoint(HostedModel):
    stage, what = "endpoint", "endpoint"
    kind: Kind = "endpoint"

    def request(self, name: str, tags: Mapping[str, str]) -> dict[str, Any]:
        return requests.endpoint_request(name, self.config, self._tagged(tags))

    def is_changed(self, hosted: Hosted) -> bool:
        return bool(hosted.parts) and self.config not in (STAND_IN, hosted.parts[0])

    def record(self, run: Run, name: str, arn: str) -> Run:
        there = self.context.hosting.find("endpoint", name)
        expires = there.tags.get(EXPIRES_TAG) if there else None
        wanted, plan, held = self.context.settings.deploy, self.plan, run.endpoint
        section = EndpointSection(
            name=name,
            arn=arn,
            config=self.config,
            model=self.model,
            model_data=plan.model_data,
            image_uri=plan.image_uri,
            instance_type=wanted.instance_type,
            instance_count=wanted.instance_count,
            content_type=wanted.content_type,
            accept=wanted.accept,
            training_job=self.training_job,
            status=there.status if there else None,
            since=there.created if there else None,
            ready=held.ready if held and held.arn == arn else None,
            expires=datetime.fromisoformat(expires) if expires else None,
            made_from=provenance(
                self.context.settings,
                "deploy",
                model_data=plan.model_data,
                training_job=self.training_job,
                dataset=self.dataset,
                **{MODEL: model_of(run)},
            ),
        )
        return run.update(endpoint=section)


def _endpoint_config(hosted: HostedModel, model: str) -> EndpointConfig:
    return EndpointConfig(hosted.run, hosted.context, hosted.plan, hosted.training_job, model=model)


def _endpoint(hosted: HostedModel, model: str, config: str) -> Endpoint:
    return Endpoint(hosted.run, hosted.context, hosted.plan, hosted.training_job, model=model, config=config)


def _begin_parts(run: Run, hosted: HostedModel) -> tuple[Run, Endpoint]:
    """Return the run with model and endpoint config created, and the endpoint to create from them."""
    quiet = replace(hosted.context, notify=ignore)
    run = begin(run, quiet, hosted)
    model = run.attempts_of("model")[-1].name
    run = begin(run, quiet, _endpoint_config(hosted, model))
    return run, _endpoint(hosted, model, run.attempts_of("config")[-1].name)


def _show_plan(run: Run, hosted: HostedModel) -> Run:
    model = next_name(run, hosted)
    config = _endpoint_config(hosted, model)
    endpoint = _endpoint(hosted, model, next_name(run, config))
    shown: dict[str, Any] = {
        part.kind: part.request(next_name(run, part), part.signature) for part in (hosted, config, endpoint)
    }
    hosted.context.plan(f"would create {model} and its endpoint", shown)
    return run


def _wait(run: Run, context: Context) -> Run:
    assert run.endpoint is not None
    name, hosting = run.endpoint.name, context.hosting
    delete = ", or delete it: `gtseg cleanup`"
    resume = how_to_resume(name, context, command="gtseg deploy", verb="is created", otherwise=delete)

    def read_state() -> Hosted:
        there = hosting.describe("endpoint", name)
        context.progress(f"{name} {there.status}")
        return there

    there = follow(read_state, context, until=lambda e: e.status in SETTLED, patience=MAX_WAIT_SECONDS, resume=resume)
    ready = run.endpoint.ready or (context.run_file(run).clock() if there.status == "InService" else None)
    section = run.endpoint.model_copy(update={"status": there.status, "ready": ready})
    run = run.update(endpoint=section)
    if there.status != "InService":
        context.save(run)
        raise JobFailed(
            f"{name} is {there.status}: {reason_given(there.reason)}. Fix this and start a new attempt with `gtseg "
            "deploy`."
        )
    context.finish(f"{name} is in service", section.model_dump(mode="json"))
    return run
