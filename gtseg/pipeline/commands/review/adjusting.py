"""adjust: people correct masks that are there, whoever made them."""

from __future__ import annotations

from typing import Final

from gtseg.aws.clients import Clients
from gtseg.aws.s3 import S3
from gtseg.core.counting import counted
from gtseg.core.labeling.chaining import adjust_lines
from gtseg.core.labeling.task_template import review_template
from gtseg.errors import ManifestError, StageError
from gtseg.pipeline.commands.review.chained import ChainedJob, start
from gtseg.pipeline.commands.review.earlier import Earlier, find_earlier, refuse_running
from gtseg.pipeline.commands.review.findings import spoken_against
from gtseg.pipeline.run import Run
from gtseg.pipeline.run.events import Consent, Event, Notify
from gtseg.pipeline.stages.label.workteams import choose_workteam
from gtseg.settings import Settings
from gtseg.settings.templates import read_template

ADJUSTMENT: Final = "AdjustmentSemanticSegmentation"


def adjust(
    run: Run,
    settings: Settings,
    clients: Clients,
    *,
    notify: Notify,
    consent: Consent | None = None,
    job: str | None = None,
    manifest: str | None = None,
    label_attribute: str | None = None,
    bad: bool = False,
    dry_run: bool = False,
) -> Run:
    """The run with an adjustment job as its labeling job: `watch` and `dataset` go on with the corrected masks.

    The masks are the run's own, another `job`'s, or a `manifest`'s; with `bad` only those that the run's verification spoke
    against. Raises StageError while the run's job is under way, or is an adjustment already and nothing else is named.
    """
    section = run.labeling_job
    if section and section.task == ADJUSTMENT and not (job or manifest):
        raise StageError(
            f"{section.name} is the adjustment of this run already ({section.status or 'started'}). "
            f"Follow it with `gtseg watch`; finish what it left with `gtseg label --continue`; adjust its result once more with `gtseg adjust --job {section.name}`."
        )
    refuse_running(run, clients)
    earlier = find_earlier(run, clients, job=job, manifest=manifest, label_attribute=label_attribute)
    only = spoken_against(run, earlier.manifest, S3(clients)) if bad else None
    if bad and not only:
        raise StageError(
            f"No verification spoke against a mask of {earlier.name}: `gtseg verify` asks people."
        )
    return start_adjustment(
        run, settings, clients, earlier=earlier, only=only, notify=notify, consent=consent, dry_run=dry_run
    )


def start_adjustment(
    run: Run,
    settings: Settings,
    clients: Clients,
    *,
    earlier: Earlier,
    only: set[str] | None = None,
    notify: Notify,
    consent: Consent | None,
    dry_run: bool,
) -> Run:
    """An adjustment job over an output manifest; its labels are the manifest's, then those that the settings add."""
    if not earlier.labeled:
        raise ManifestError(f"{earlier.manifest} holds no mask under {earlier.label!r}: nothing to adjust")
    if left := len(earlier.lines) - earlier.labeled:
        words = f"{counted(left, 'object without a mask stays', 'objects without a mask stay')} out: each would fail, and might be billed. `gtseg label --continue` labels them"
        notify(Event("adjust", "warning", words))
    wanted = settings.labeling
    job = ChainedJob(
        run=run,
        settings=settings,
        earlier=earlier,
        task=ADJUSTMENT,
        word="adjust",
        title=wanted.title,
        labels=tuple(dict.fromkeys((*earlier.labels, *wanted.labels))),
        template=adjustment_template(settings, earlier.label),
        role=settings.project.role_arn or f"arn:aws:iam::{clients.account}:role/gtseg",
        team=choose_workteam(settings, clients),
        attribute=lambda name: f"{name}-ref",
        build=lambda attribute: adjust_lines(earlier.lines, earlier.label, attribute=attribute, only=only),
    )
    if (started := start(job, clients, notify=notify, consent=consent or Consent(), dry_run=dry_run)) is None:
        return run
    run, name, arn = started
    return run.update(labeling_job=job.section(name, arn), dataset=None)


def adjustment_template(settings: Settings, attribute: str) -> bytes:
    """The page that shows the mask under `attribute` to be corrected."""
    wanted = settings.labeling
    return review_template(
        read_template("adjust.liquid"),
        attribute=attribute,
        header=wanted.title,
        instructions=wanted.instructions or wanted.description,
    )
