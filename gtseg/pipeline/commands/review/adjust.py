"""adjust: let workers correct existing masks of any source."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from gtseg.core.labeling.chained_jobs import adjust_lines
from gtseg.core.labeling.task_template import review_template
from gtseg.core.plurals import counted
from gtseg.errors import ManifestError, StageError
from gtseg.pipeline.commands.review.chained_job import ChainedJob, start
from gtseg.pipeline.commands.review.earlier_labels import Earlier, find_earlier, refuse_running
from gtseg.pipeline.commands.review.findings import find_rejected_images
from gtseg.pipeline.run import OWN_LABELS, Context, LabelSource, Run
from gtseg.pipeline.stages.label.workteams import choose_workteam
from gtseg.settings import Settings
from gtseg.settings.templates import read_template

ADJUSTMENT: Final = "AdjustmentSemanticSegmentation"


def adjust(
    run: Run,
    context: Context,
    *,
    source: LabelSource = OWN_LABELS,
    bad: bool = False,
    only: Mapping[str, Sequence[str]] | None = None,
) -> Run:
    """Return the run with an adjustment job as its labeling job; `watch` and `dataset` continue with its result.

    The masks are the run's own, or those of another `source`; with `bad` only those that the run's verification found
    bad, with `only` only those images, with comments that the workers read. Raises StageError while the run's job is
    running, or if it is an adjustment already and no other source is given.
    """
    section, context = run.labeling_job, context.of("adjust")
    if section and section.task == ADJUSTMENT and source.is_own:
        raise StageError(
            f"{section.name} is the adjustment of this run already ({section.status or 'started'}). Follow it with "
            "`gtseg watch`; label what it left out with `gtseg label --continue`; adjust its result again with "
            f"`gtseg adjust --job {section.name}`."
        )
    refuse_running(run, context)
    earlier = find_earlier(run, context, source)
    if bad:
        only = find_rejected_images(run, earlier.manifest, context.s3)
    if bad and not only:
        raise StageError(f"No verification found a bad mask of {earlier.name}: verify the masks with `gtseg verify`.")
    if only is not None:
        _check_images(only, earlier, context)
    return start_adjustment(run, context, earlier, only=only)


def _check_images(only: Mapping[str, Sequence[str]], earlier: Earlier, context: Context) -> None:
    """Warn of images that the manifest lacks. Raises StageError if it has none of them."""
    known = {line.image for line in earlier.lines if line.state == "labeled"}
    missing = [image for image in only if image not in known]
    if len(missing) == len(only):
        raise StageError(
            f"{earlier.name} has a mask of none of the {counted(len(only), 'image')} that are to be adjusted"
            + (f", such as {missing[0]}" if missing else "")
        )
    if missing:
        context.warn(f"{earlier.name} has no mask of {counted(len(missing), 'image')}, such as {missing[0]}")


def start_adjustment(
    run: Run, context: Context, earlier: Earlier, *, only: Mapping[str, Sequence[str]] | None = None
) -> Run:
    """Start an adjustment job of an output manifest.

    The job has the manifest's labels, followed by additional ones from the settings.
    """
    if not earlier.labeled:
        raise ManifestError(f"{earlier.manifest} has no mask under {earlier.label!r}: nothing to adjust")
    if left := len(earlier.lines) - earlier.labeled:
        words = (
            f"{counted(left, 'object without a mask is', 'objects without a mask are')} left out: they would fail, "
            "and might be billed. `gtseg label --continue` labels them"
        )
        context.warn(words)
    wanted = context.settings.labeling
    job = ChainedJob(
        run=run,
        context=context,
        labels=tuple(dict.fromkeys((*earlier.labels, *wanted.labels))),
        template=adjustment_template(context.settings, earlier.label),
        team=choose_workteam(context),
        earlier=earlier,
        kind=ADJUSTMENT,
        word="adjust",
        heading=wanted.title,
        attribute_of=lambda name: f"{name}-ref",
        build=lambda attribute: adjust_lines(earlier.lines, earlier.label, attribute=attribute, only=only),
    )
    return start(job)


def adjustment_template(settings: Settings, attribute: str) -> bytes:
    """Return the page for correcting the mask under `attribute`."""
    wanted = settings.labeling
    return review_template(
        read_template("adjust.liquid"),
        attribute=attribute,
        header=wanted.title,
        instructions=wanted.instructions or wanted.description,
    )
