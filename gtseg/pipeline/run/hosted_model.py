"""SageMaker model of an endpoint or a transform job: its selection and its creation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from gtseg.aws.hosting import Kind
from gtseg.aws.hosting import Resource as Hosted
from gtseg.aws.s3 import is_s3_uri
from gtseg.aws.training import image_uri_of_sdk
from gtseg.core.hosting import requests
from gtseg.core.s3_uris import require_file
from gtseg.core.training.image_uris import image_uri
from gtseg.errors import StageError
from gtseg.pipeline.run.attempts import STAND_IN, Found, Resource, found
from gtseg.pipeline.run.context import Context
from gtseg.pipeline.run.fingerprint import fingerprint
from gtseg.pipeline.run.freshness import staleness
from gtseg.pipeline.run.provenance import EXPIRES_TAG, ROOT_TAG, RUN_TAG, lineage_tags
from gtseg.pipeline.run.sections import Run


def plan_hosting(
    run: Run, context: Context, *, job: str | None = None, model: str | None = None
) -> tuple[requests.Hosting, str | None]:
    """Return the model to host and the training job that it comes from (None for a foreign model).

    Raises StageError if there is no such model or the run has none yet.
    """
    wanted, region = context.settings.deploy, context.clients.region
    data, training_job, image = _model(run, context, job=job, model=model)
    plan = requests.Hosting(
        role_arn=context.role_arn,
        image_uri=wanted.image_uri or image or image_uri_of_sdk(region) or image_uri(region),
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


def _model(run: Run, context: Context, *, job: str | None, model: str | None) -> tuple[str, str | None, str]:
    """Return (model.tar.gz, training job, its image)."""
    foreign = model or (None if job else context.settings.deploy.model_data)
    if foreign:
        require_file(foreign, "--model" if model else "[deploy] model_data")
        if not is_s3_uri(foreign) or not context.s3.exists(foreign):
            raise StageError(f"There is no model at {foreign}: it must be the s3:// address of a model.tar.gz")
        return foreign, None, ""
    if job:
        state = context.training.find_job(job)
        if state is None or not state.model_artifact:
            raise StageError(f"There is no training job {job!r} with a model in {context.clients.region}")
        return state.model_artifact, job, state.image_uri
    section = run.training_job
    if section is None or not section.model_artifact:
        raise StageError(f"Run {run.name!r} has no trained model to deploy. Train one: `gtseg train`.")
    return section.model_artifact, section.name, section.image_uri


@dataclass(frozen=True)
class HostedModel(Resource):
    """SageMaker model; endpoint config and endpoint extend it, each with the names of the earlier ones."""

    run: Run
    context: Context
    plan: requests.Hosting
    training_job: str | None

    stage, what = "model", "model"
    kind: Kind = "model"
    model: str = STAND_IN
    config: str = STAND_IN

    remedy = "Restore the settings, or delete what is deployed first: `gtseg cleanup`, then `gtseg deploy`."

    def is_replaceable(self, found: Found) -> bool:
        """Return whether the result is outdated: it then gets a new endpoint, and the old one is deleted after that."""
        return staleness(self.run, self.context.settings, "deploy") is not None

    @property
    def fingerprint(self) -> str:
        seconds = self.context.settings.deploy.time_to_live
        return fingerprint(self.request(STAND_IN, {}) | {"ttl": seconds})

    @property
    def origin(self) -> dict[str, str]:
        """Return tags for the model's provenance and the endpoint's expiry."""
        lineage = lineage_tags(self.run.root, training_job=self.training_job, dataset=self.dataset)
        seconds = self.context.settings.deploy.time_to_live
        if seconds is None:
            return lineage
        expires = self.context.run_file(self.run).clock() + timedelta(seconds=seconds)
        return lineage | {EXPIRES_TAG: expires.isoformat()}

    @property
    def dataset(self) -> str | None:
        """Return the fingerprint of the model's training dataset; None if the model is not the run's own."""
        job = self.run.training_job
        if job is None or job.name != self.training_job or job.made_from is None:
            return None
        return job.made_from.sources.get("dataset")

    def request(self, name: str, tags: Mapping[str, str]) -> dict[str, Any]:
        return requests.model_request(name, self._tagged(tags))

    def _tagged(self, tags: Mapping[str, str]) -> requests.Hosting:
        return replace(self.plan, tags={**self.plan.tags, **tags})

    def find(self, name: str) -> Found | None:
        """Return the endpoint; one that is out of service or being deleted counts as failed."""
        hosted = self.context.hosting.find(self.kind, name)
        there = found(hosted)
        if there and hosted and self.is_changed(hosted):
            return replace(there, fingerprint=None, is_hidden=False)
        is_dead = there is not None and there.status in {"Failed", "OutOfService", "Deleting"}
        return replace(there, status="Failed") if there and is_dead else there

    def is_changed(self, hosted: Hosted) -> bool:
        """Return whether another endpoint config is deployed under the name."""
        return False

    def create(self, name: str, request: Mapping[str, Any]) -> str:
        return self.context.hosting.create(self.kind, request)

    def record(self, run: Run, name: str, arn: str) -> Run:
        """Return the run unchanged: only the endpoint has a section, which names model and config."""
        return run


@dataclass(frozen=True)
class BatchModel(HostedModel):
    """Model of transform jobs. It costs nothing, so a newer one simply gets the next name; `cleanup` deletes them."""

    stage = "batch-model"

    def is_replaceable(self, found: Found) -> bool:
        return True

    @property
    def fingerprint(self) -> str:
        return fingerprint(self.request(STAND_IN, {}))

    @property
    def origin(self) -> dict[str, str]:
        return lineage_tags(self.run.root, training_job=self.training_job, dataset=self.dataset)
