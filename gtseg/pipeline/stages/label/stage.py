"""label: one labeling job per run, created once."""

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
    """The run with its labeling job: created now, adopted, or standing already.

    Raises SettingsError for what AWS would refuse, ManifestError where no image is left, StageError when the run has a live
    job made from other settings.
    """
    context = context.of("label")
    if run.labeling_job and run.labeling_job.follows:
        words = f"{run.labeling_job.name} goes on from {run.labeling_job.follows}: nothing to do. More: `gtseg label --continue`"
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
    """What is refused before a bucket is listed: another region, or one that Ground Truth cannot read."""
    source, own = context.settings.images.source or "", split_uri(run.root)[0]
    if not is_s3_uri(source):
        return
    bucket = split_uri(source)[0]
    check_labeling_regions([bucket], context)
    if context.settings.images.requester_pays and bucket != own:
        raise StageError(
            f"Ground Truth does not pay for what it reads: images of {bucket}, whose requester pays, must be copied first: "
            f'aws s3 sync --request-payer requester {source} {run.root}images/ and [images] source = "{run.root}images/"'
        )


def _check(context: Context) -> None:
    """What is refused before anything is read."""
    wanted = context.settings.labeling
    lambda_arn(context.clients.labeling_region, "PRE-SemanticSegmentation")
    if not wanted.labels:
        raise SettingsError('[labeling] labels is empty: name what is to be found, like labels = ["cat", "dog"]')
    beyond_aws = wanted.assist or wanted.order != "given" or wanted.gold or wanted.colors
    if beyond_aws and context.clients.is_aws("labeling"):
        context.warn(
            "[labeling] assist, order, gold and colors are for a labeling server of gtseg: on AWS nothing comes of them"
        )
    if wanted.assist and not wanted.suggests:
        context.note(
            f"no suggested masks: {wanted.workers_per_object} workers label each image, and would agree with the suggestion instead of "
            'with each other. [labeling] assist = "always" suggests all the same'
        )
    if wanted.workforce != "public":
        return
    words = (
        "Mechanical Turk, the public crowd behind Ground Truth, closed on 30 September 2026: "
        "AWS will most likely refuse this job, and nobody would work on it"
    )
    if not context.consent.public_crowd:
        raise SettingsError(f'{words}. Use workforce = "private" or "vendor", or insist with --allow-public-crowd.')
    context.warn(words)
