"""label --continue: a follow-up job for what the run's job has not labeled, or labeled badly.

The follow-up has the same label attribute, and the whole output manifest as its input: Ground Truth labels the lines
without the attribute and copies the others (developer guide, sms-reusing-data). No object is labeled twice, and the
follow-up's own output manifest has every object once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from gtseg.core.labeling.chained_jobs import ChainLine, continue_lines, label_names, prior_attribute
from gtseg.core.plurals import counted
from gtseg.errors import SettingsError, StageError
from gtseg.pipeline.commands.review.adjust import ADJUSTMENT, adjustment_template
from gtseg.pipeline.commands.review.chained_job import ChainedJob, start
from gtseg.pipeline.commands.review.earlier_labels import Earlier, find_earlier
from gtseg.pipeline.commands.review.findings import find_rejected_images, rejected_images
from gtseg.pipeline.run import Context, Run
from gtseg.pipeline.stages.label.gold import find_gold
from gtseg.pipeline.stages.label.job import fill_task_template
from gtseg.pipeline.stages.label.workteams import choose_workteam

LEFT = ("Unlabeled", "FailedNonRetryableError")
"""Counters of what labels merged by `gtseg import job` leave to the workers here; other imports have none."""


def continue_labeling(run: Run, context: Context) -> Run:
    """Return the run with the follow-up as its labeling job; unchanged if nothing is left to label, or it is running.

    Raises StageError without a job that has ended, SettingsError if [labeling] labels lacks one that was used.
    """
    section, context = run.labeling_job, context.of("continue")
    is_import = section is not None and section.workforce == "import"
    if section is not None and is_import and not any(section.counters.get(name) for name in LEFT):
        raise StageError("An import has nothing left to label. Correct its masks with `gtseg adjust`.")
    if section is not None and section.follows and not is_import and _is_under_way(section.name, context):
        words = (
            f"{section.name} continues from {section.follows} and is running: nothing to do. Follow it with `gtseg "
            "watch`"
        )
        context.note(words)
        return run
    earlier = _without_gold(find_earlier(run, context), context)
    redo = _redo(run, earlier, context)
    todo = continue_lines(earlier.lines, earlier.label, redo).todo
    if not todo:
        context.finish(f"{earlier.name}: all {earlier.labeled:,} images are labeled")
        return run
    failed = sum(line.state == "failed" for line in earlier.lines)
    words = (
        f"{len(todo):,} of {len(earlier.lines):,} images: {failed:,} failed, {len(redo):,} to be made again, the "
        "others never labeled"
    )
    context.note(words)
    return start(_job(run, context, earlier, redo))


def _without_gold(earlier: Earlier, context: Context) -> Earlier:
    """Return the earlier labels without unlabeled images of [labeling] gold, whose masks are known."""
    unlabeled = [line.image for line in earlier.lines if line.state != "labeled"]
    gold = find_gold(unlabeled, context) if unlabeled else frozenset()
    if not gold:
        return earlier
    context.note(f"{counted(len(gold), 'image')} of [labeling] gold left out")
    return replace(
        earlier, lines=tuple(line for line in earlier.lines if line.image not in gold or line.state == "labeled")
    )


def _is_under_way(name: str, context: Context) -> bool:
    state = context.labeling.find_job(name)
    return state is not None and not state.is_over


def _redo(run: Run, earlier: Earlier, context: Context) -> frozenset[str]:
    """Return images whose mask the dataset stage rejected or workers found bad."""
    rejected, unusable = rejected_images(run, earlier.manifest, context.s3)
    if unusable:
        words = f"{unusable:,} images are left out because of the images themselves: another mask would not help"
        context.note(words)
    labeled = {line.image for line in earlier.lines if line.state == "labeled"}
    redo = labeled & (rejected | find_rejected_images(run, earlier.manifest, context.s3).keys())
    return frozenset(redo - find_gold(redo, context)) if redo else frozenset()


def _job(run: Run, context: Context, earlier: Earlier, redo: frozenset[str]) -> ChainedJob:
    """Return the same kind of job: labeling from scratch or, after an adjustment, corrections of its input masks."""
    wanted = context.settings.labeling
    is_adjustment = run.labeling_job is not None and run.labeling_job.task == ADJUSTMENT
    if is_adjustment:
        prior = prior_attribute(earlier.lines, earlier.label)
        labels = adjusted_labels(wanted.labels, earlier, prior)
        template = adjustment_template(context.settings, prior)
    else:
        check_labels(wanted.labels, earlier)
        labels = wanted.labels
        template = fill_task_template(context.settings)
    return ChainedJob(
        run=run,
        context=context,
        labels=labels,
        template=template,
        team=choose_workteam(context),
        earlier=earlier,
        kind=ADJUSTMENT if is_adjustment else "SemanticSegmentation",
        word="continue",
        heading=wanted.title,
        attribute_of=lambda name: earlier.label,
        build=lambda attribute: continue_lines(earlier.lines, earlier.label, redo),
    )


def adjusted_labels(wanted: Sequence[str], earlier: Earlier, prior: str) -> tuple[str, ...]:
    """Return all labels of the adjustment's input masks, then those of the settings."""
    given = [ChainLine(line.image, line.entry, "labeled") for line in earlier.lines if prior in line.entry]
    return tuple(dict.fromkeys((*label_names(given, prior), *earlier.labels, *wanted)))


def check_labels(labels: Sequence[str], earlier: Earlier) -> None:
    """Check the labels: a chained job's label file must have every label of the original job."""
    if missing := [name for name in earlier.labels if name not in labels]:
        raise SettingsError(
            f"[labeling] labels lacks {', '.join(missing)}, which {earlier.name} was labeled with. Add them, at the "
            "end if they are no longer used: a follow-up job needs every label of the earlier one."
        )
    if not labels:
        raise SettingsError('[labeling] labels is empty: set the classes to find, like labels = ["cat", "dog"]')
