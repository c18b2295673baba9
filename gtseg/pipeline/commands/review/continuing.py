"""label --continue: what the run's job has not labeled, or labeled badly, goes to the workers once more.

The follow-up has the same label attribute and the whole output manifest as its input: Ground Truth labels the lines without
the attribute and copies the others (developer guide, sms-reusing-data). So nothing is labeled twice, and the follow-up's own
output manifest holds every object once.
"""

from __future__ import annotations

from collections.abc import Sequence

from gtseg.aws.clients import Clients
from gtseg.aws.groundtruth import GroundTruth
from gtseg.aws.s3 import S3
from gtseg.core.labeling.chaining import ChainLine, continue_lines, label_names, prior_attribute
from gtseg.core.labeling.task_template import task_template
from gtseg.errors import SettingsError, StageError
from gtseg.pipeline.commands.review.adjusting import ADJUSTMENT, adjustment_template
from gtseg.pipeline.commands.review.chained import ChainedJob, start
from gtseg.pipeline.commands.review.earlier import Earlier, find_earlier
from gtseg.pipeline.commands.review.findings import rejected_images, spoken_against
from gtseg.pipeline.run import Run
from gtseg.pipeline.run.events import Consent, Event, Notify
from gtseg.pipeline.stages.label.job import read_task_template
from gtseg.pipeline.stages.label.workteams import choose_workteam
from gtseg.settings import Settings


def continue_labeling(
    run: Run,
    settings: Settings,
    clients: Clients,
    *,
    notify: Notify,
    consent: Consent | None = None,
    dry_run: bool = False,
) -> Run:
    """The run with the follow-up as its labeling job; as it was where nothing is left to label, or it is under way already.

    Raises StageError without a job that has ended, SettingsError where [labeling] labels lost one that was used.
    """
    section = run.labeling_job
    if section is not None and section.workforce == "import":
        raise StageError("An import has nothing left to label. `gtseg adjust` lets people correct its masks.")
    if section is not None and section.follows and _is_under_way(section.name, clients):
        words = f"{section.name} goes on from {section.follows} and is under way: nothing to do. `gtseg watch` follows it"
        notify(Event("continue", "note", words))
        return run
    earlier = find_earlier(run, clients)
    redo = _redo(run, earlier, S3(clients), notify=notify)
    todo = continue_lines(earlier.lines, earlier.label, redo).todo
    if not todo:
        notify(Event("continue", "finished", f"{earlier.name}: all {earlier.labeled:,} images are labeled"))
        return run
    failed = sum(line.state == "failed" for line in earlier.lines)
    words = f"{len(todo):,} of {len(earlier.lines):,} images: {failed:,} failed, {len(redo):,} to be made again, the rest never labeled"
    notify(Event("continue", "note", words))
    job = _job(run, settings, clients, earlier=earlier, redo=redo)
    if (started := start(job, clients, notify=notify, consent=consent or Consent(), dry_run=dry_run)) is None:
        return run
    run, name, arn = started
    return run.update(labeling_job=job.section(name, arn), dataset=None)


def _is_under_way(name: str, clients: Clients) -> bool:
    state = GroundTruth(clients).find_job(name)
    return state is not None and not state.is_over


def _redo(run: Run, earlier: Earlier, door: S3, *, notify: Notify) -> frozenset[str]:
    """Images whose mask the dataset stage rejected, or people called bad."""
    rejected, hopeless = rejected_images(run, earlier.manifest, door)
    if hopeless:
        words = f"{hopeless:,} images are left out for what they are themselves: another mask would not help"
        notify(Event("continue", "note", words))
    labeled = {line.image for line in earlier.lines if line.state == "labeled"}
    return frozenset(labeled & (rejected | spoken_against(run, earlier.manifest, door)))


def _job(
    run: Run, settings: Settings, clients: Clients, *, earlier: Earlier, redo: frozenset[str]
) -> ChainedJob:
    """The same work once more: masks from nothing, or, after an adjustment, corrections of the masks that it was given."""
    wanted = settings.labeling
    is_adjustment = run.labeling_job is not None and run.labeling_job.task == ADJUSTMENT
    if is_adjustment:
        prior = prior_attribute(earlier.lines, earlier.label)
        labels = adjusted_labels(wanted.labels, earlier, prior)
        template = adjustment_template(settings, prior)
    else:
        check_labels(wanted.labels, earlier)
        labels = wanted.labels
        template = task_template(
            read_task_template(settings),
            header=wanted.title,
            instructions=wanted.instructions or wanted.description,
        )
    return ChainedJob(
        run=run,
        settings=settings,
        earlier=earlier,
        task=ADJUSTMENT if is_adjustment else "SemanticSegmentation",
        word="continue",
        title=wanted.title,
        labels=labels,
        template=template,
        role=settings.project.role_arn or f"arn:aws:iam::{clients.account}:role/gtseg",
        team=choose_workteam(settings, clients),
        attribute=lambda name: earlier.label,
        build=lambda attribute: continue_lines(earlier.lines, earlier.label, redo),
    )


def adjusted_labels(wanted: Sequence[str], earlier: Earlier, prior: str) -> tuple[str, ...]:
    """All labels of the masks that were given to the adjustment, then those of the settings."""
    given = [ChainLine(line.image, line.entry, "labeled") for line in earlier.lines if prior in line.entry]
    return tuple(dict.fromkeys((*label_names(given, prior), *earlier.labels, *wanted)))


def check_labels(labels: Sequence[str], earlier: Earlier) -> None:
    """Ground Truth wants every label of the original job in the following one's label file."""
    if missing := [name for name in earlier.labels if name not in labels]:
        raise SettingsError(
            f"[labeling] labels lacks {', '.join(missing)}, which {earlier.name} was labeled with. Add them, at the end where "
            "they are no longer wanted: the following job must know every label of the earlier one."
        )
    if not labels:
        raise SettingsError(
            '[labeling] labels is empty: name what is to be found, like labels = ["cat", "dog"]'
        )
