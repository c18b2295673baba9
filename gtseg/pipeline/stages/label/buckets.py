"""The run's bucket, and the CORS rule that lets workers' browsers load images."""

from __future__ import annotations

from collections.abc import Sequence

from gtseg.aws.s3 import split_uri
from gtseg.core.labeling.cors import MAX_RULES, has_labeling_rule, with_labeling_rule
from gtseg.errors import CREDENTIAL_CODES, AWSError, StageError
from gtseg.pipeline.run import Context, Run
from gtseg.pipeline.run.regions import check_labeling_regions


def ensure_run_bucket(run: Run, context: Context) -> None:
    """Create the run's bucket if it does not exist and consent was given; gtseg's default name needs no consent.

    Raises StageError if it does not exist or is in another region than the job.
    """
    bucket, project = split_uri(run.root)[0], context.settings.project
    asked = context.consent.create_bucket or project.create_bucket or project.bucket is None
    if not context.s3.bucket_exists(bucket):
        if not asked:
            raise StageError(
                f"Bucket {bucket} does not exist. Create it with --create-bucket, or set another one as [project] "
                "bucket."
            )
        if context.s3.ensure_bucket(bucket):
            context.note(f"created bucket {bucket} in {context.clients.region}")
    check_labeling_regions([bucket], context)


def needs_cors(context: Context) -> bool:
    """Return whether workers' browsers read from the buckets.

    A labeling server with remote storage reads images for them.
    """
    clients = context.clients
    return clients.is_aws("labeling") or clients.endpoint("labeling") == clients.endpoint("s3")


def plan_cors(buckets: Sequence[str], context: Context) -> list[str]:
    """Return buckets without a rule that lets workers' browsers read images; unreadable rules cause a warning only."""
    if not needs_cors(context):
        return []
    return [bucket for bucket in buckets if _lacks_rule(bucket, context)]


def open_to_workers(buckets: Sequence[str], context: Context) -> None:
    """Add the labeling rule to every image bucket that lacks it; the bucket's other rules are kept."""
    for bucket in plan_cors(buckets, context):
        rules = with_labeling_rule(context.s3.cors_rules(bucket))
        if len(rules) > MAX_RULES:
            raise StageError(
                f"Bucket {bucket} has {MAX_RULES} CORS rules already, the maximum: the rule for workers cannot be added"
            )
        try:
            context.s3.put_cors(bucket, rules)
        except AWSError as error:
            if error.code not in CREDENTIAL_CODES:
                raise
            _warn(bucket, error, context)
        else:
            kept = f"; its {len(rules) - 1} other rules are kept" if len(rules) > 1 else ""
            context.note(f"added a CORS rule to bucket {bucket}, so that workers' browsers may load its images{kept}")


def _lacks_rule(bucket: str, context: Context) -> bool:
    try:
        return not has_labeling_rule(context.s3.cors_rules(bucket))
    except AWSError as error:
        if error.code == "NoSuchBucket":  # only in a dry run does the bucket not exist yet
            return True
        if error.code not in CREDENTIAL_CODES:
            raise
        _warn(bucket, error, context)
        return False


def _warn(bucket: str, error: AWSError, context: Context) -> None:
    words = (
        f"the CORS rules of bucket {bucket} cannot be read or changed ({error.code}). Without a rule that lets "
        "browsers GET, its images fail to load in the workers' page: ask its owner, or copy the images to a bucket "
        "of your own"
    )
    context.warn(words)
