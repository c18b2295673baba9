"""SageMaker reads and writes only buckets of the job's own region: all of them are compared before anything is created."""

from __future__ import annotations

from collections.abc import Iterable

from gtseg.aws.s3 import S3
from gtseg.errors import AWSError, StageError
from gtseg.pipeline.run.context import Context

__all__ = ["check_labeling_regions", "check_regions", "region_of"]


def check_regions(buckets: Iterable[str], context: Context, *, what: str, ours: str | None = None) -> None:
    """Raises StageError, both regions named, for a bucket that lies in another region than `what`. One that hides it passes."""
    ours = ours or context.clients.region
    for bucket in sorted(set(buckets)):
        theirs = region_of(bucket, context.s3)
        if theirs is not None and theirs != ours:
            raise StageError(
                f"Bucket {bucket} is in {theirs}, the {what} would be in {ours}: SageMaker needs both in one region. Set [project] "
                f'region = "{theirs}" with a bucket of that region, or copy what is needed to a bucket in {ours}: '
                f"aws s3 sync s3://{bucket}/... s3://BUCKET-IN-{ours.upper()}/..."
            )


def check_labeling_regions(buckets: Iterable[str], context: Context) -> None:
    """Ground Truth too wants buckets of its own region. A labeling server reads those of any region, and is not asked."""
    if context.settings.labeling.profile is None or context.clients.is_aws("labeling"):
        check_regions(buckets, context, what="labeling job", ours=context.clients.labeling_region)


def region_of(bucket: str, door: S3) -> str | None:
    """Where a bucket lies; None if there is no such bucket yet, or it tells nobody."""
    try:
        return door.bucket_region(bucket)
    except AWSError as error:
        if error.exit_code not in (3, 4):
            raise
        return None
