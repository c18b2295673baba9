"""label: create one labeling job per run."""

from __future__ import annotations

from gtseg.aws.s3 import is_s3_uri, split_uri
from gtseg.core.labeling.automated import describe_automated
from gtseg.core.labeling.regions import lambda_arn
from gtseg.core.plurals import counted
from gtseg.errors import SettingsError, StageError
from gtseg.pipeline.run import Context, Run, begin
from gtseg.pipeline.run.regions import check_labeling_regions
from gtseg.pipeline.stages.label.gold import separate_gold
from gtseg.pipeline.stages.label.images import gather_images
from gtseg.pipeline.stages.label.job import make_job
from gtseg.pipeline.stages.label.reports import report_images
from gtseg.pipeline.stages.label.workteams import choose_workteam


def label(run: Run, context: Context) -> Run:
    """Return the run with its labeling job: created now, adopted, or existing.

    Raises SettingsError for what AWS would refuse, ManifestError if no image is left, StageError if the run has a live
    job with other settings.
    """
    context = context.of("label")
    if run.labeling_job and run.labeling_job.follows:
        words = (
            f"{run.labeling_job.name} continues from {run.labeling_job.follows}: nothing to do. To label more: "
            "`gtseg label --continue`"
        )
        context.note(words)
        return run
    _check(context)
    team = choose_workteam(context)
    _check_source(run, context)
    gathered, gold = separate_gold(gather_images(run, context), context)
    check_labeling_regions(gathered.buckets, context)
    report_images(gathered, context)
    if context.settings.labeling.automated:
        words = describe_automated(len(gathered.manifest.objects), is_aws=context.clients.is_aws("labeling"))
        context.note(words)
    before, run = (
        run.labeling_job,
        begin(run, context, make_job(run, context, gathered, team=team, gold=gold)),
    )
    job = run.labeling_job
    if job and job != before:
        context.finish(f"{job.name} labels {counted(job.objects, 'image')}", {"arn": job.arn})
    return run


def _check_source(run: Run, context: Context) -> None:
    """Check the bucket before it is listed: its region, and whether Ground Truth can read it."""
    source, own = context.settings.images.source or "", split_uri(run.root)[0]
    if not is_s3_uri(source):
        return
    bucket = split_uri(source)[0]
    check_labeling_regions([bucket], context)
    if context.settings.images.requester_pays and bucket != own:
        raise StageError(
            f"Ground Truth cannot read requester-pays buckets: copy the images of {bucket} first, with "
            f"aws s3 sync --request-payer requester {source} {run.root}images/ and [images] source = "
            f'"{run.root}images/"'
        )


def _check(context: Context) -> None:
    """Check the settings before anything is read."""
    wanted = context.settings.labeling
    lambda_arn(context.clients.labeling_region, "PRE-SemanticSegmentation")
    if not wanted.labels:
        raise SettingsError('[labeling] labels is empty: set the classes to find, like labels = ["cat", "dog"]')
    beyond_aws = wanted.assist or wanted.order != "given" or wanted.gold or wanted.colors
    if beyond_aws and context.clients.is_aws("labeling"):
        context.warn(
            "[labeling] assist, order, gold and colors are for a labeling server of gtseg and have no effect on AWS"
        )
    if wanted.assist and not wanted.suggests:
        context.note(
            f"no suggested masks: {wanted.workers_per_object} workers label each image, and a suggestion would bias "
            "their "
            'agreement. [labeling] assist = "always" suggests masks anyway'
        )
    if wanted.workforce != "public":
        return
    words = (
        "Mechanical Turk, the public crowd of Ground Truth, closed on 30 September 2026: "
        "AWS will most likely refuse this job, and it would have no workers"
    )
    if not context.consent.public_crowd:
        raise SettingsError(f'{words}. Use workforce = "private" or "vendor", or --allow-public-crowd to try anyway.')
    context.warn(words)
